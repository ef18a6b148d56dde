package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
)

func statusCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show the cluster as its store tells it", Args: args(0, 0),
		Long: `Shows nodes, VMs, failovers and alarms as the store tells them, also while no
daemon answers. Where a heartbeat looks old it is watched for up to two
intervals, to see whether it moves.

` + exits(ExitOK, ExitUsage, ExitStore, ExitCluster),
	}
	out := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := a.look(cmd.Context())
		if err != nil {
			return err
		}
		s := v.Status()
		if out.json() {
			return printJSON(a.stdout, s)
		}
		return printStatus(a.stdout, s)
	}
	return cmd
}

func printStatus(w io.Writer, s *clusterview.Status) error {
	master := "no master"
	if s.Master != "" {
		master = "master " + s.Master
	}
	mode := []string{"not armed"}
	if s.Armed {
		mode = []string{"armed"}
	}
	for _, m := range []struct {
		is   bool
		word string
	}{{s.Frozen, "frozen"}, {s.Debug, "debug: nothing is done"}, {s.Closed, "closed: moved to " + s.MovedTo}} {
		if m.is {
			mode = append(mode, m.word)
		}
	}
	fmt.Fprintf(w, "cluster %s: %s, epoch %d, ledger %d, %s\n", s.ClusterID, master, s.Epoch, s.LedgerSeq, strings.Join(mode, ", "))
	if len(s.Repair) > 0 {
		fmt.Fprintf(w, "after a repair of the ledger, or debug mode, it waits for %s to report\n", strings.Join(s.Repair, ", "))
	}
	fmt.Fprintln(w)
	if err := printNodes(w, s.Nodes); err != nil {
		return err
	}
	if err := printVMs(w, s.VMs); err != nil {
		return err
	}
	if err := printFailovers(w, s.Failovers); err != nil {
		return err
	}
	for _, c := range s.Conflicts {
		fmt.Fprintf(w, "conflict: %s (%s): %s\n", c.VM, strings.Join(c.Nodes, ", "), c.Why)
	}
	for _, alarm := range s.Alarms {
		fmt.Fprintf(w, "alarm: %s\n", oneLineOf(alarm))
	}
	return nil
}

func printNodes(w io.Writer, nodes []clusterview.Member) error {
	t := newTable(w, "NODE", "STATE", "ROLE", "PRIORITY", "ALIVE", "AGE", "PROOF", "URL", "REMARKS")
	for _, n := range nodes {
		t.row(n.Node, n.State, n.Role, n.Priority, yes(n.Alive), ago(n.LeaseAge), n.Proof, n.URL, remarks(n))
	}
	return t.flush()
}

// remarks are what is out of the ordinary about a node.
func remarks(n clusterview.Member) string {
	var r []string
	if f := n.Fence; f != nil {
		switch {
		case f.Proof == "":
			r = append(r, "being fenced, no proof yet: "+f.Why)
		case f.Manual:
			r = append(r, "fenced ("+f.Proof+") until unfence: "+f.Why)
		default:
			r = append(r, "fenced ("+f.Proof+"): "+f.Why)
		}
	}
	if n.Alive && !n.Admitted {
		r = append(r, "not admitted")
	}
	if n.Left != "" {
		r = append(r, "left: "+n.Left)
	}
	if n.HeldBack {
		r = append(r, "holds back")
	}
	if n.Maintenance {
		r = append(r, "maintenance")
	}
	if n.Unproved != "" {
		r = append(r, "its silence proves nothing: "+n.Unproved)
	}
	if n.Problem != "" {
		r = append(r, n.Problem)
	}
	return strings.Join(r, "; ")
}

func printVMs(w io.Writer, vms []clusterview.VM) error {
	if len(vms) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w, "VM", "STATE", "OWNER", "GENERATION", "FROM SNAPSHOT", "REPLICA AGE", "PROBLEM")
	for _, vm := range vms {
		age := "-"
		if vm.ReplicaAge != nil {
			age = ago(vm.ReplicaAge)
		}
		t.row(vm.Name, vm.State, vm.Owner, vm.Generation, vm.Snapshot, age, vm.Problem)
	}
	return t.flush()
}

func printFailovers(w io.Writer, failovers []clusterview.Failover) error {
	if len(failovers) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w, "FAILOVER OF", "BEGAN", "PROOF", "VM", "PHASE", "TO", "SNAPSHOT", "LOST", "PROBLEM")
	for _, f := range failovers {
		proof := f.Proof
		if proof == "" {
			proof = "waits for it"
		}
		if len(f.VMs) == 0 {
			t.row(f.Node, when(f.Began), proof, "", "", "", "", "", f.Why)
		}
		for _, vm := range f.VMs {
			lost := "-"
			if vm.Lost != nil {
				lost = ago(vm.Lost)
			}
			t.row(f.Node, when(f.Began), proof, vm.Name, vm.Phase, vm.To, vm.Snapshot, lost, vm.Problem)
		}
	}
	return t.flush()
}

package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// findings are what a check comes to.
type findings struct {
	critical, warning []string
	summary           string // when there is nothing to say
	age               *time.Duration
	warn, crit        time.Duration
	alive, failovers  int
}

// judge finds what is wrong with a cluster. Thresholds of 0 are the timings'
// own: a lease is over for its holder at D, and for everybody else at D + M.
func judge(v *clusterview.View, warn, crit time.Duration) *findings {
	f := &findings{warn: warn, crit: crit}
	t := v.Tail.State.Timings
	if master := v.Nodes[v.Tail.State.Master]; master != nil {
		t = v.Timings(master)
	}
	if f.crit == 0 {
		f.crit = max(t.Renew+t.Margin, f.warn)
	}
	if f.warn == 0 {
		f.warn = min(t.Renew, f.crit)
	}
	s := v.Status()
	f.master(v)
	f.nodes(s)
	f.vms(s)
	f.cluster(v, s)
	f.failovers = len(s.Failovers)
	f.summary = fmt.Sprintf("master %s, epoch %d, %d of %d nodes alive, %d VMs", s.Master, s.Epoch, f.alive, len(s.Nodes), len(s.VMs))
	return f
}

func (f *findings) crits(format string, args ...any) {
	f.critical = append(f.critical, fmt.Sprintf(format, args...))
}

func (f *findings) warns(format string, args ...any) {
	f.warning = append(f.warning, fmt.Sprintf(format, args...))
}

// master judges the mastership of the newest entry.
func (f *findings) master(v *clusterview.View) {
	tail := v.Tail
	n := v.Nodes[tail.State.Master]
	if n == nil {
		f.crits("no master")
		return
	}
	hb := n.Heartbeat
	switch {
	case hb == nil:
		f.crits("no master: the heartbeat of %s cannot be read", n.Name)
		return
	case hb.Ending:
		f.crits("no master: %s has ended", n.Name)
		return
	case hb.Incarnation != tail.State.Incarnation:
		f.crits("no master: %s has lost the mastership", n.Name)
		return
	case hb.Released >= tail.Epoch:
		f.crits("no master: %s gave the mastership up", n.Name)
		return
	}
	f.age = n.Age
	switch {
	case n.Age == nil:
		f.crits("no master: the heartbeat of %s stands still, for how long the store's times do not tell", n.Name)
	case *n.Age >= f.crit:
		f.crits("no master: the lease of %s is %s old", n.Name, round(*n.Age))
	case *n.Age >= f.warn:
		f.warns("the lease of master %s is %s old", n.Name, round(*n.Age))
	case hb.Epoch != tail.Epoch && hb.State != node.StateFailed:
		f.warns("%s is taking over", n.Name)
	}
}

func (f *findings) nodes(s *clusterview.Status) {
	for _, n := range s.Nodes {
		if n.Alive {
			f.alive++
		}
		switch {
		case n.State == clusterview.StateUnreadable:
			f.warns("the heartbeat of %s cannot be read: %s", n.Node, n.Problem)
		case n.Fence != nil && n.Fence.Proof != "":
			f.warns("%s is fenced (%s)", n.Node, n.Fence.Proof)
		case n.State == node.StateFailed && n.Alive:
			f.crits("%s is %s", n.Node, n.State)
		case !n.Alive:
			f.warns("%s is dead (%s)", n.Node, n.State)
		case n.State == node.StateIsolated || n.State == node.StateMaintenance || n.State == node.StateFenced:
			f.warns("%s is %s", n.Node, n.State)
		}
		if n.State != clusterview.StateUnreadable && n.Problem != "" {
			f.warns("%s: %s", n.Node, n.Problem)
		}
		if n.HeldBack {
			f.warns("%s was demoted and holds back", n.Node)
		}
	}
}

func (f *findings) vms(s *clusterview.Status) {
	moving := map[string]bool{}
	for _, fo := range s.Failovers {
		running, proofless := 0, fo.Proof == "" && len(fo.VMs) == 0
		for _, vm := range fo.VMs {
			moving[vm.Name] = true
			switch {
			case vm.Phase == ledger.MoveRunning:
				running++
			case vm.Phase == ledger.MoveWaiting && vm.Problem != "":
				f.crits("%s of %s cannot be placed: %s", vm.Name, fo.Node, vm.Problem)
			case vm.Phase == ledger.MoveWaiting && !vm.Acked && fo.Proof == "":
				proofless = true
			}
		}
		// A node that leaves acknowledges what it stops; a fence needs its proof.
		if proofless && fenced(s, fo.Node) {
			f.crits("failover of %s (%d VMs) waits for a proof", fo.Node, len(fo.VMs))
		} else {
			f.warns("failover of %s: %d of %d VMs run", fo.Node, running, len(fo.VMs))
		}
	}
	if s.Frozen || !s.Armed || s.Debug {
		return
	}
	for _, vm := range s.VMs {
		if vm.State == record.VMRunning || moving[vm.Name] {
			continue
		}
		if vm.Problem != "" {
			f.warns("%s is %s on %s: %s", vm.Name, vm.State, vm.Owner, vm.Problem)
		} else {
			f.warns("%s is %s on %s", vm.Name, vm.State, vm.Owner)
		}
	}
}

func fenced(s *clusterview.Status, name string) bool {
	for _, n := range s.Nodes {
		if n.Node == name {
			return n.Fence != nil
		}
	}
	return false
}

func (f *findings) cluster(v *clusterview.View, s *clusterview.Status) {
	for _, fork := range v.Forks {
		f.crits("%s", fork)
	}
	for _, c := range s.Conflicts {
		f.crits("%s is claimed by %s: %s", c.VM, strings.Join(c.Nodes, ", "), c.Why)
	}
	if s.Closed {
		f.crits("the cluster has moved to %s", s.MovedTo)
	}
	if len(s.Repair) > 0 {
		f.warns("the repaired ledger waits for %s", strings.Join(s.Repair, ", "))
	}
	if s.Frozen {
		f.warns("frozen")
	}
	if s.Debug {
		f.warns("debug mode: nothing is done")
	}
	if !s.Armed && len(s.VMs) > 0 {
		f.warns("not armed: no VM starts (%d VMs)", len(s.VMs))
	}
	for _, alarm := range s.Alarms[len(v.Forks):] {
		f.warns("alarm of %s", alarm)
	}
}

// perfdata is a Nagios plugin's performance data.
func (f *findings) perfdata() string {
	age := "U"
	if f.age != nil {
		age = number(*f.age) + "s"
	}
	return fmt.Sprintf("master_lease_age=%s;%s;%s nodes_alive=%d failovers=%d", age, number(f.warn), number(f.crit), f.alive, f.failovers)
}

func number(d time.Duration) string { return fmt.Sprintf("%g", d.Round(time.Millisecond).Seconds()) }

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

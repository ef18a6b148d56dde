package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// repairer is the writer of repairs in the ledger: no node.
const repairer = "operator"

func ledgerRepairCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "repair", Short: "Continue a lost, forked or unreadable ledger", Args: args(0, 0),
		Long: `Writes a new entry that continues the longest good chain of the ledger, with a
number, an epoch and generations above all that is remembered anywhere. Nothing
is deleted: what does not lie on that chain is shown, set aside, and stays.

Stop the daemon on every host first, and name those of which you know that they
run nothing with --confirmed-fenced. Run it on a host that complains, with that
host's --state-dir, so that what the host remembers counts too.

Without --yes it shows what it would do and writes nothing. Afterwards start the
daemons; when every member has reported what it runs, and all looks right: arm.

` + exits(ExitOK, ExitUsage, ExitStore, ExitCluster, ExitName, ExitRefused),
	}
	r := &repair{app: a}
	f := cmd.Flags()
	f.BoolVar(&r.yes, "yes", false, "do it")
	f.StringArrayVar(&r.confirmed, "confirmed-fenced", nil, "`NODE` that certainly runs nothing, though it did not say that it ended (repeatable)")
	f.Uint64Var(&r.stateFrom, "state-from", 0, "take what was decided from this entry, `SEQ`, instead of the chain's last")
	f.StringVar(&r.why, "why", "", "reason, kept in the history")
	f.String("state-dir", "", "`folder` of a node's local memory, whose daemon is stopped")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("state-dir") {
			r.stateDir = a.settings.StateDir
		}
		return r.run(cmd.Context())
	}
	return cmd
}

type repair struct {
	*app
	yes       bool
	confirmed []string
	stateFrom uint64
	why       string
	stateDir  string // "" is not given

	cluster *clusterview.Cluster
	survey  *ledger.Survey
	from    ledger.Stored
	left    *clusterview.Leftovers
	self    string // fingerprint of the key in the local memory
}

func (r *repair) run(ctx context.Context) error {
	s, err := r.store(ctx)
	if err != nil {
		return err
	}
	if r.cluster, err = clusterview.Identify(ctx, s); err != nil {
		return err
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	ev := r.left.Evidence()
	if r.stateDir != "" {
		memory, err := r.memory(&ev)
		if err != nil {
			return err
		}
		// Held to the end: its lock keeps the node's daemon from starting.
		defer func() { _ = memory.Close() }()
	}
	if !r.needed(ev) {
		return exitError{ExitRefused, fmt.Errorf("nothing to repair: the ledger is whole, and nobody whose heartbeat lies here remembers another;" +
			" if a node complains, give its --state-dir on its host")}
	}
	e := r.survey.Repair(r.from, ev)
	e.Node, e.By, e.Time = repairer, operator(), time.Now()
	e.Why = fmt.Sprintf("repair: continue entry %d with the state of %d, set %d entries aside", e.PrevSeq, r.from.Seq, len(e.Aside))
	if r.why != "" {
		e.Why += " (" + r.why + ")"
	}
	r.show(e)
	members := r.members()
	for _, name := range r.confirmed {
		if !slices.Contains(members, name) {
			return usageError{fmt.Errorf("--confirmed-fenced %s: no such node; the members are %s", name, strings.Join(members, ", "))}
		}
	}
	blocked := r.blockers(members)
	for _, text := range blocked {
		fmt.Fprintln(r.stdout, text)
	}
	switch {
	case len(blocked) > 0:
		return exitError{ExitRefused, fmt.Errorf("nothing was written: %d members may still run", len(blocked))}
	case !r.yes:
		return exitError{ExitRefused, errors.New("nothing was written; to do it, give --yes")}
	}
	return r.write(ctx, e)
}

// read surveys the ledger and what lies beside it.
func (r *repair) read(ctx context.Context) (err error) {
	c := r.cluster
	if r.survey, err = ledger.Walk(ctx, c.Store, c.ID); err != nil {
		return err
	}
	if r.survey.End.Entry == nil {
		return exitError{ExitCluster, fmt.Errorf("cluster %s has no ledger entry that can be read, so there is nothing to continue:"+
			" bring %s/ back from a backup, or found a new cluster in another folder, with new --state-dirs", c.ID, ledger.Folder)}
	}
	if r.survey.End.State.Closed {
		return node.Moved(r.survey.End)
	}
	r.from = r.survey.End
	if r.stateFrom > 0 {
		r.from, err = ledger.Read(ctx, c.Store, c.ID, r.stateFrom)
		if errors.Is(err, persistence.ErrNotFound) {
			return usageError{fmt.Errorf("--state-from %d: there is no such entry", r.stateFrom)}
		}
		if err != nil {
			return fmt.Errorf("--state-from %d: %w", r.stateFrom, err)
		}
	}
	r.left, err = c.Leftovers(ctx)
	return err
}

// memory adds what a node of this host remembers.
func (r *repair) memory(ev *ledger.Evidence) (*local.Memory, error) {
	if info, err := os.Stat(r.stateDir); err != nil || !info.IsDir() {
		return nil, usageError{fmt.Errorf("--state-dir %s: there is no such folder", r.stateDir)}
	}
	m, err := local.OpenDir(r.stateDir)
	if err != nil {
		return nil, err
	}
	if id, _ := m.Cluster(); id != r.cluster.ID {
		_ = m.Close()
		return nil, fmt.Errorf("%w: --state-dir %s remembers cluster %q, and this is %s", node.ErrCluster, r.stateDir, id, r.cluster.ID)
	}
	seq, hash := m.Tail()
	ev.Mark, ev.Closed, r.self = ledger.Mark{Seq: seq, Hash: hash}, m.Closed, m.Identity().Fingerprint
	return m, nil
}

// needed: the ledger is damaged, or somebody remembers another one.
func (r *repair) needed(ev ledger.Evidence) bool {
	return len(r.survey.Aside) > 0 || len(r.survey.Bad) > 0 || slices.ContainsFunc(ev.Marks(), r.survey.Conflicts)
}

func (r *repair) show(e *ledger.Entry) {
	w := r.survey
	fmt.Fprintf(r.stdout, "cluster %s: %d entries up to number %d; the longest good chain has %d and ends at %d\n",
		r.cluster.ID, w.Entries, w.Last, w.Length, w.End.Seq)
	for _, err := range w.Bad {
		fmt.Fprintln(r.stdout, oneLineOf(err.Error()))
	}
	fmt.Fprintf(r.stdout, "the repair is entry %d, epoch %d; it continues entry %d with what entry %d (%s) decided\n",
		e.Seq, e.Epoch, e.PrevSeq, r.from.Seq, when(r.from.Time))
	if w.Newest > r.from.Seq {
		fmt.Fprintf(r.stdout, "entry %d is newer and can be read; to take what was decided from it: --state-from %d\n", w.Newest, w.Newest)
	}
	for _, key := range e.Aside {
		fmt.Fprintf(r.stdout, "set aside, and kept: %s\n", key)
	}
	for _, name := range names(e.State.VMs) {
		vm := e.State.VMs[name]
		fmt.Fprintf(r.stdout, "VM %s belongs to %s, generation %d, unless another member reports that it runs it\n", name, vm.Owner, vm.Generation)
	}
	fmt.Fprintf(r.stdout, "no VM starts before %s have reported, and before: hoster-ha arm\n", strings.Join(names(e.State.Repair), ", "))
}

// members are all that may still run something: those of the state that is
// taken, those of the chain's end, and whoever left a record in the store.
func (r *repair) members() []string {
	all := map[string]bool{}
	for name := range r.from.State.Members {
		all[name] = true
	}
	for name := range r.survey.End.State.Members {
		all[name] = true
	}
	for name := range r.left.Nodes {
		all[name] = true
	}
	return names(all)
}

// blockers says which members are neither known to have ended nor confirmed.
func (r *repair) blockers(members []string) []string {
	var texts []string
	for _, name := range members {
		m := r.from.State.Members[name]
		n := r.left.Nodes[name]
		switch {
		case slices.Contains(r.confirmed, name), r.self != "" && m.Key == r.self:
		case n == nil:
			texts = append(texts, fmt.Sprintf("%s has no heartbeat: --confirmed-fenced %s if it certainly runs nothing", name, name))
		case n.Heartbeat == nil:
			texts = append(texts, oneLineOf(fmt.Sprintf("%s: %v: --confirmed-fenced %s if it certainly runs nothing", name, n.Problem, name)))
		case !n.Heartbeat.Ending && n.Heartbeat.State != node.StateTerminated:
			texts = append(texts, fmt.Sprintf("%s did not say that it ended (%s): stop its daemon, or --confirmed-fenced %s if it certainly runs nothing",
				name, n.Heartbeat.State, name))
		}
	}
	return texts
}

// write makes the entry when no heartbeat has moved for the takeover timeout.
func (r *repair) write(ctx context.Context, e *ledger.Entry) error {
	t := e.State.Timings
	for _, n := range r.left.Nodes {
		t = t.Max(e.State.InForce().Of(n.Heartbeat))
	}
	fmt.Fprintf(r.stdout, "watching for %s that no heartbeat moves\n", t.Timeout)
	moved, err := r.cluster.StandStill(ctx, r.left, t.Timeout, max(t.Interval, 100*time.Millisecond))
	if err != nil {
		return err
	}
	if moved != "" {
		return exitError{ExitRefused, fmt.Errorf("nothing was written: the heartbeat of %s moves: stop its daemon", moved)}
	}
	last, err := ledger.Last(ctx, r.cluster.Store)
	switch {
	case err != nil:
		return err
	case last != r.survey.Last:
		return exitError{ExitRefused, fmt.Errorf("nothing was written: the ledger has gone on to %d meanwhile", last)}
	}
	err = create(ctx, r.cluster.Store, record.KindEntry, ledger.Key(e.Seq), e)
	if errors.Is(err, persistence.ErrExists) {
		return exitError{ExitRefused, fmt.Errorf("nothing was written: entry %d was made by somebody else meanwhile", e.Seq)}
	}
	if err != nil {
		return err
	}
	if err := r.cluster.Ledger.Load(ctx, ledger.Mark{}); err != nil {
		return fmt.Errorf("entry %d was made, and cannot be read back: %w", e.Seq, err)
	}
	fmt.Fprintf(r.stdout, "entry %d was made; start the daemons, see: hoster-ha status, then: hoster-ha arm\n", e.Seq)
	return nil
}

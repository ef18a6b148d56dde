package demo

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// tableWidth is the widest row: a row that wraps could not be erased.
const tableWidth = 78

// table shows the cluster as its store tells it.
func (w *watch) table(now time.Time) string {
	if w.tail == nil {
		return ""
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "NODE\tSTATE\tSILENT\tRUNS\n")
	for _, n := range w.members() {
		state, runs := w.stateOf(n)
		fmt.Fprintf(t, "%s\t%s\t%.1fs\t%s\n", n, state, w.node(n).Age.Seconds(), runs)
	}
	_ = t.Flush() // into memory
	fmt.Fprintf(t, "\nVM\tOWNER\tGENERATION\tSTATE\tNEWEST REPLICA\n")
	for _, vm := range w.vms() {
		v := w.tail.State.VMs[vm]
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", vm, v.Owner, v.Generation, w.vmState(vm), w.replicaAge(vm, now))
	}
	_ = t.Flush()
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = cut(strings.TrimRight(lines[i], " "), tableWidth)
	}
	return strings.Join(lines, "\n")
}

// stateOf is what a node says of itself while its heartbeat moves, and what is
// made of its silence after that; and how many VMs it runs.
func (w *watch) stateOf(name string) (state, runs string) {
	k := w.node(name)
	switch {
	case k.Last == nil:
		return strings.ToUpper(string(k.Standing)), "-"
	case k.Last.Ending:
		return "left", "-"
	case k.Standing != lease.Alive:
		return strings.ToUpper(string(k.Standing)), "?"
	}
	return k.Last.State, fmt.Sprint(k.Last.Running)
}

func (w *watch) vmState(vm string) string {
	v := w.tail.State.VMs[vm]
	for _, f := range w.tail.State.Failovers {
		if mv, ok := f.Moves[vm]; ok && !w.runs(vm) {
			return mv.Phase + " (failover of " + f.Node + ")"
		}
	}
	switch h := w.inventories[v.Owner].VM(vm); {
	case w.runs(vm):
		return record.VMRunning
	case !w.lives(v.Owner):
		return "unknown: " + v.Owner + " is silent"
	case h == nil:
		return record.VMStopped
	default:
		return h.State
	}
}

func (w *watch) replicaAge(vm string, now time.Time) string {
	var newest time.Time
	for _, n := range w.members() {
		if at, ok := w.replica(vm, n); ok && at.After(newest) {
			newest = at
		}
	}
	if newest.IsZero() {
		return "none"
	}
	// Listed in whole seconds.
	return fmt.Sprintf("%.0fs old", max(0, now.Sub(newest).Seconds()))
}

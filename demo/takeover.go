package demo

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// takeover follows one node's VMs going elsewhere, from the instant at which
// its daemon was killed or told to stop. Times are of the ledger's entries,
// written by clocks of this one machine, or else of when it was seen.
type takeover struct {
	node   string
	began  time.Time
	epoch  uint64 // of the mastership before
	moves  map[string]ledger.Move
	phases []phase
	noted  map[string]bool
	opened bool // the failover stands, or stood, in the ledger
	over   bool // it is complete
}

type phase struct {
	at   time.Time
	what string
}

func newTakeover(node string, epoch uint64) *takeover {
	return &takeover{
		node: node, epoch: epoch, began: time.Now(),
		moves: map[string]ledger.Move{}, noted: map[string]bool{},
	}
}

// note keeps the first time that something happened.
func (t *takeover) note(key string, at time.Time, format string, args ...any) {
	if !t.noted[key] {
		t.noted[key] = true
		t.phases = append(t.phases, phase{at, fmt.Sprintf(format, args...)})
	}
}

// entry takes in one entry of the ledger.
func (t *takeover) entry(e *ledger.Entry) {
	if e.Kind == ledger.KindClaim && e.Epoch > t.epoch {
		t.note("claim", e.Time, "%s becomes master, epoch %d", e.Node, e.Epoch)
	}
	f, open := e.State.Failovers[t.node]
	if !open {
		if t.opened && !t.over {
			t.over = true
			// The last ones that run are told by the entry that ends it.
			for _, vm := range slices.Sorted(maps.Keys(t.moves)) {
				t.note("runs "+vm, e.Time, "%s runs on %s", vm, t.moves[vm].To)
			}
			t.note("over", e.Time, "complete")
		}
		return
	}
	if !t.opened {
		t.opened = true
		t.note("journal", f.Began, "its VMs' move is written down: %s", strings.Join(slices.Sorted(maps.Keys(f.Moves)), ", "))
	}
	if fence := e.State.Members[t.node].Fence; f.Proved != nil && fence != nil {
		t.note("proof", *f.Proved, "%s is fenced, proof that it runs nothing: %s", t.node, fence.Proof)
	}
	for _, vm := range slices.Sorted(maps.Keys(f.Moves)) {
		mv := f.Moves[vm]
		t.moves[vm] = mv
		if mv.Acked {
			t.note("acked "+vm, e.Time, "%s says that %s has stopped", t.node, vm)
		}
		if mv.Placed != nil {
			t.note("placed "+vm, *mv.Placed, "%s goes to %s%s", vm, mv.To, lostOf(mv))
		}
		if mv.Running != nil {
			t.note("runs "+vm, *mv.Running, "%s runs on %s", vm, mv.To)
		}
	}
}

// lostOf is what the ledger says was lost.
func lostOf(mv ledger.Move) string {
	switch {
	case mv.Snapshot == "":
		return ""
	case mv.Lost == nil:
		return ", loss unknown"
	default:
		return fmt.Sprintf(", %.1f s lost up to the last heartbeat", *mv.Lost)
	}
}

// see notes what no entry tells.
func (t *takeover) see(w *watch, running []string) {
	now := time.Now()
	standing := w.node(t.node).Standing
	if standing == lease.Suspect {
		t.note("suspect", now, "the lease of %s is over: SUSPECT", t.node)
	}
	if standing == lease.Stale {
		t.note("stale", now, "%s was silent for the takeover timeout: STALE", t.node)
	}
	if len(running) == 0 {
		t.note("stopped", now, "no VM runs on %s any more", t.node)
	}
	if m := w.master(); m != "" && w.tail.Epoch > t.epoch {
		t.note("master", now, "%s is seen as MASTER", m)
	}
}

// print tells the phases in the order of their times.
func (t *takeover) print(out *screen, title string) {
	slices.SortStableFunc(t.phases, func(a, b phase) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	out.head(title)
	for _, p := range t.phases {
		out.text("  %+6.2fs  %s", p.at.Sub(t.began).Seconds(), p.what)
	}
}

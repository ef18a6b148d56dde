package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is what stands outside of the program. Its lock is held briefly and
// never while a node or the store is asked something.
type world struct {
	t      *testing.T
	began  time.Time
	seed   uint64
	store  *shared
	log    io.Writer // of the nodes; nil is none
	ledger ledgerRules
	sent   records
	// exact gives each call to the store a small time of its own, so that what
	// happens does not depend on the order of goroutines.
	exact bool
	// restarts says that a process which ended by itself is started again.
	restarts bool
	over     bool // what comes now is no part of the script
	// land lets a write take effect, and revived starts a daemon again: these belong
	// to the world, and to no call of a node's or its context.
	land    func(s *shared, op, key string, value []byte, who string) error
	revived func(h *host)
	// exchange puts another store into the place of a host's own.
	exchange func(h *host, args []string) error

	// commands are those of operators that take their time; giveUp ends them.
	commands sync.WaitGroup
	giveUp   []context.CancelFunc

	mu         sync.Mutex
	names      []string // of hosts, sorted
	hosts      map[string]*host
	procs      []*proc        // all there ever were
	guids      map[string]int // snapshots made, by VM
	trace      []string
	decisions  []string
	violations []string
	masters    string // at the last settling
	settlings  int
	swapped    *shared // what all hosts see in the store's place; nil: the store
	common     []*fault
	healed     time.Duration // when common ended last
	closed     time.Duration // when the store was that the cluster moves from
	flows      map[string]*flow
	excuses    []string // what an alarm had to say at the end
	stats      stats
}

// stats say what schedules came to, so that one that reaches nothing is seen.
type stats struct {
	entries, claims, fences, moves, starts, selfStops, acks, resets int
}

func (s *stats) add(o stats) {
	s.entries += o.entries
	s.claims += o.claims
	s.fences += o.fences
	s.moves += o.moves
	s.starts += o.starts
	s.selfStops += o.selfStops
	s.acks += o.acks
	s.resets += o.resets
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, began: time.Now(), seed: seed, hosts: map[string]*host{}, flows: map[string]*flow{}, guids: map[string]int{}}
	w.store = newShared(w, "")
	w.land, w.revived, w.exchange = (*shared).write, w.revive, doMount
	w.ledger.w = w
	return w
}

// now is true time since the world began.
func (w *world) now() time.Duration { return time.Since(w.began) }

// keptTrace is how many of the latest events a failure prints.
const keptTrace = 160

// tell notes an event for the trace. The lock is not held.
func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(format, args...)
}

// note is tell with the lock held.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%9.3fs %s", w.now().Seconds(), fmt.Sprintf(format, args...))
	if w.trace = append(w.trace, line); len(w.trace) > 2*keptTrace {
		w.trace = slices.Clone(w.trace[keptTrace:])
	}
	if w.log != nil {
		fmt.Fprintf(w.log, "%s\n", line)
	}
}

// decide notes what a scenario's log holds; the lock is held.
func (w *world) decide(format string, args ...any) {
	w.note(format, args...)
	if w.over {
		return
	}
	w.decisions = append(w.decisions, fmt.Sprintf("%3.0fs %s", w.now().Truncate(time.Second).Seconds(), masked(fmt.Sprintf(format, args...))))
}

// violated notes that a rule was broken. The lock is held.
func (w *world) violated(rule, format string, args ...any) {
	text := rule + ": " + fmt.Sprintf(format, args...)
	w.note("VIOLATION %s", text)
	const most = 5
	if len(w.violations) < most && !slices.Contains(w.violations, text) {
		w.violations = append(w.violations, text)
	}
}

func (w *world) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.violations) > 0
}

// draw is a number in [0, 1) that depends on the seed, on what is drawn for and
// on the virtual time alone.
func (w *world) draw(what ...string) float64 {
	return rand.New(rand.NewPCG(w.seed, digest(what)^uint64(w.now()/time.Millisecond))).Float64()
}

// fixed is a number in [0, 1) that depends on what it is for alone: the time that
// a call takes in an exact world. Ids that the program makes are left out.
func fixed(what ...string) float64 {
	return rand.New(rand.NewPCG(0, digest(what))).Float64()
}

// digest is a number for some words, without the ids that the program makes.
func digest(what []string) uint64 {
	h := fnv.New64a()
	for _, s := range what {
		if strings.HasPrefix(s, "requests/") || strings.HasPrefix(s, "probe/") {
			s, _, _ = strings.Cut(s, "/")
		}
		_, _ = io.WriteString(h, s)
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// running lists the processes that live now, in the order of their names.
func (w *world) running() []*proc {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*proc
	for _, n := range w.names {
		if p := w.hosts[n].proc; p != nil {
			all = append(all, p)
		}
	}
	return all
}

// end stops everything, so that no goroutine stays behind in the bubble.
func (w *world) end() {
	w.heal("", "")
	for _, cancel := range w.giveUp {
		cancel()
	}
	w.commands.Wait()
	w.mu.Lock()
	w.restarts, w.over = false, true
	w.keepAll()
	for _, f := range w.flows {
		f.timer.Stop()
	}
	all := slices.Clone(w.procs)
	w.mu.Unlock()
	for _, n := range w.names {
		w.hosts[n].powerOff()
	}
	for _, p := range all {
		p.kill()
		<-p.done
	}
}

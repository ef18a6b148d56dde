package sim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// pair plays some lines with two hosts that are up and armed, then looks.
func pair(t *testing.T, commands string, look func(t *testing.T, w *world)) {
	t.Helper()
	var s script
	for _, line := range []string{"a candidate self vms=vm1", "b candidate vms=vm2"} {
		h, err := parseSpec(line)
		if err != nil {
			t.Fatal(err)
		}
		s.cluster = append(s.cluster, h)
	}
	for _, line := range lines([]byte("0s start a\n310ms start b\n7.3s ask arm\n" + commands)) {
		c, err := parseCommand(line)
		if err != nil {
			t.Fatal(err)
		}
		s.commands = append(s.commands, c)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.end()
		if err := w.play(s, coarseTick); err != nil {
			t.Fatal(err)
		}
		look(t, w)
	})
}

// Nothing of a paused process runs while its clock goes on; the simulator knows
// by name where the product looks at its clock.
func TestPauseStopsTheNode(t *testing.T) {
	pair(t, "20.4s pause a\n21s done", func(t *testing.T, w *world) {
		p := w.hosts["a"].live()
		beats := p.node.Stats().Beats
		written := len(w.store.history("members/a.json"))
		at := p.clock.now()
		w.pass(30*time.Second, coarseTick)
		if n := p.node.Stats().Beats; n > beats+1 {
			t.Errorf("%d beats in a pause", n-beats)
		}
		if n := len(w.store.history("members/a.json")); n > written {
			t.Error("a paused process wrote its heartbeat")
		}
		if p.clock.now() < at+29*time.Second {
			t.Error("its clock stood still")
		}
		if _, ok := p.primary(); ok {
			t.Error("a paused process is master after its lease")
		}
		p.resume()
		w.pass(5*time.Second, coarseTick)
		if n := p.node.Stats().Beats; n < beats+4 {
			t.Errorf("%d beats after a pause", n-beats)
		}
	})
}

// The rules find what breaks them.
func TestRulesAreHeld(t *testing.T) {
	for _, c := range []struct {
		rule  string
		spoil func(w *world)
	}{
		{"history", func(w *world) { _ = w.land(w.store, "put", ledger.Key(1), []byte("x"), "nobody") }},
		{"history", func(w *world) { _ = w.land(w.store, "delete", ledger.Key(2), nil, "nobody") }},
		{"history", func(w *world) { _ = w.land(w.store, "create", ledger.Key(99), w.store.read(ledger.Key(2)), "nobody") }},
		{"gate", func(w *world) { w.hosts["b"].vms["vm1"] = &vm{}; w.hosts["b"].up("vm1", 1) }},
		{"one place", func(w *world) { w.hosts["b"].vms["vm1"] = &vm{running: true}; w.mu.Unlock(); w.settled(); w.mu.Lock() }},
		{"disks", func(w *world) { w.hosts["a"].vms["vm1"].disk = nil; w.keepAll() }},
		{"lease", func(w *world) { w.hosts["a"].proc.lease.until = 1; w.mu.Unlock(); w.leases(); w.mu.Lock() }},
		{"word", func(w *world) {
			e := w.ledger.tail.Load()
			w.ledger.denied = map[string]bool{e.ID: true}
			w.ledger.kept(e)
		}},
		{"proof", func(w *world) {
			w.ledger.passed(w.ledger.tail.Load(), "a", &ledger.Fence{
				Proof: ledger.ProvedElapsed, Incarnation: w.hosts["a"].proc.memory.Incarnation(),
			})
		}},
		{"proof", func(w *world) { w.ledger.stopped(w.ledger.tail.Load(), "a", "vm1", "is moved") }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			pair(t, "20s done", func(t *testing.T, w *world) {
				locked := c.rule != "history"
				if locked {
					w.mu.Lock()
				}
				c.spoil(w)
				if locked {
					w.mu.Unlock()
				}
				if !slices.ContainsFunc(w.violations, func(v string) bool { return strings.HasPrefix(v, c.rule+":") }) {
					t.Errorf("not found: %v", w.violations)
				}
			})
		})
	}
}

// The link's faults do what they are called for.
func TestStoreFaults(t *testing.T) {
	pair(t, "20s done", func(t *testing.T, w *world) {
		ctx, l := context.Background(), link{w.hosts["a"].live()}
		const key = "requests/x"
		there := func() string { return string(w.store.read(key)) }
		with := func(f *fault, do func()) {
			f.p, f.key = 1, "requests/"
			w.inflict("a", f)
			do()
			w.heal("a", "")
		}
		with(&fault{kind: faultLost}, func() {
			if err := l.Put(ctx, key, []byte("lost")); !errors.Is(err, persistence.ErrUnknown) || there() != "lost" {
				t.Errorf("lost: %v, %q", err, there())
			}
		})
		with(&fault{kind: faultNever}, func() {
			if err := l.Put(ctx, key, []byte("never")); !errors.Is(err, persistence.ErrUnknown) || there() != "lost" {
				t.Errorf("never: %v, %q", err, there())
			}
		})
		with(&fault{kind: faultFail}, func() {
			if err := l.Put(ctx, key, []byte("fail")); err == nil || errors.Is(err, persistence.ErrUnknown) || there() != "lost" {
				t.Errorf("fail: %v, %q", err, there())
			}
		})
		with(&fault{kind: faultLate, d: 3 * time.Second}, func() {
			if err := l.Put(ctx, key, []byte("late")); !errors.Is(err, persistence.ErrUnknown) || there() != "lost" {
				t.Errorf("late: %v, %q", err, there())
			}
		})
		if err := l.Put(ctx, key, []byte("newer")); err != nil || there() != "newer" {
			t.Errorf("put: %v, %q", err, there())
		}
		w.pass(4*time.Second, coarseTick)
		if there() != "late" {
			t.Errorf("a late write landed nowhere: %q", there())
		}
		with(&fault{kind: faultStale, d: 2 * time.Second}, func() {
			if o, err := l.Get(ctx, key); err != nil || string(o.Value) != "newer" {
				t.Errorf("stale: %q, %v", o.Value, err)
			}
		})
		with(&fault{kind: faultHang}, func() {
			short, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			began := w.now()
			if _, err := l.Get(short, key); !errors.Is(err, errWaited) || w.now()-began != 2*time.Second {
				t.Errorf("hang: %v after %s", err, w.now()-began)
			}
		})
	})
}

// One seed makes one script.
func TestSeedMakesOneScript(t *testing.T) {
	for seed := range uint64(50) {
		if d := cmp.Diff(generate(seed).String(), generate(seed).String()); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
	}
}

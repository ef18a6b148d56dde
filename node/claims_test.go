package node

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNoClaimOverAFreshClaim: b finds a's mastership over, and is held up before
// it claims. Meanwhile c has claimed, and is master. Whether b reads that claim
// just before its own, or read it in a beat that has judged nothing yet: what it
// found of a's mastership says nothing of c's.
func TestNoClaimOverAFreshClaim(t *testing.T) {
	for name, slowBeat := range map[string]bool{"decided slowly": false, "and beats slowly": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) { noClaimOverAFreshClaim(t, w, slowBeat) })
		})
	}
}

func noClaimOverAFreshClaim(t *testing.T, w *world, slowBeat bool) {
	a := w.start("a", nil)
	w.one(a)
	b, c := w.start("b", nil), w.start("c", nil)
	w.standby(b, c)
	w.wait(15 * time.Second)
	var decide, beat sync.Once
	b.store.on(func(op, key string) error {
		switch vacant := b.getView().vacancy.Vacant; {
		case op == "list" && key == "requests" && vacant:
			decide.Do(func() { <-time.After(2500 * time.Millisecond) })
		case op == "put" && slowBeat && vacant && w.tail().State.Master == "c":
			beat.Do(func() { <-time.After(2 * time.Second) })
		}
		return nil
	})
	a.kill()
	w.wait(8 * time.Second)
	for range 2000 {
		<-time.After(5 * time.Millisecond)
		if m := masters(b, c); len(m) > 1 {
			t.Errorf("two masters: %v in epoch %d", m, w.tail().Epoch)
			break
		}
	}
	w.wait(5 * time.Second) // no call of the store is held up any more
	if e := w.tail(); e.Epoch != 2 || e.State.Master != "c" {
		t.Errorf("%s is master in epoch %d", e.State.Master, e.Epoch)
	}
}

// TestWhoHoldsNoLeaseIsNotAdmitted: b cannot read the ledger any more, and its
// heartbeats still get through. It loses its lease, stops its VM, and begins one
// incarnation after the other. None of them is admitted, nor is it dead: the
// operator is told. When it can read again, its VM runs again.
func TestWhoHoldsNoLeaseIsNotAdmitted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		if m := w.one(a, b); m != "a" {
			t.Fatalf("%s is master", m)
		}
		admitted := w.tail().State.Members["b"].Admitted
		b.store.on(func(_, key string) error {
			if strings.HasPrefix(key, "ledger") {
				return errNoStore
			}
			return nil
		})
		w.until("b is without a lease", 3*testTimings.Timeout, func() bool { _, held := b.Lease(); return !held })
		for range 5 {
			w.until("a tells of it", testTimings.Timeout, func() bool { return a.alarms("b lives and holds no lease") })
			w.wait(testTimings.Timeout)
			if now := w.tail().State.Members["b"].Admitted; now != admitted {
				t.Fatalf("incarnation %s was admitted", now)
			}
			w.stays("vm3", "")
		}
		b.store.cut(nil)
		w.comes("vm3", "b", 60*time.Second)
		w.until("the alarm is over", testTimings.Timeout, func() bool { return !a.alarms("holds no lease") })
		w.stays("vm1", "a")
	})
}

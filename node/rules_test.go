package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// hung: every call of the node waits until release is called.
func (g *gated) hungUp() (release func()) {
	c := make(chan struct{})
	g.mu.Lock()
	g.hang = c
	g.mu.Unlock()
	return func() {
		g.mu.Lock()
		g.hang = nil
		g.mu.Unlock()
		close(c)
	}
}

// A master whose store hangs is no master after D, whatever hangs; what it sent
// before and lands late changes nothing.
func TestHungStoreEndsTheMastership(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil)
		w.until("b is standby", 10*time.Second, func() bool { return b.State() == StateStandby })
		w.wait(5 * time.Second)
		release := a.store.hungUp()
		w.wait(testTimings.Renew + testTimings.Interval)
		if m := masters(a); len(m) != 0 {
			t.Fatal("the master is master without an answered renewal for longer than D")
		}
		w.until("b is master", testTimings.Timeout, func() bool { return len(masters(b)) == 1 })
		release()
		w.wait(20 * time.Second)
		if m := masters(a, b); len(m) != 1 || m[0] != "b" {
			t.Errorf("masters: %v", m)
		}
		if s := a.State(); s != StateStandby {
			t.Errorf("a is %s", s)
		}
	})
}

// An entry whose answer is lost is settled before anything else is written.
func TestLostAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		lost := 0
		a.store.mu.Lock()
		a.store.err = func(op, key string) error {
			if op != "create" || !strings.HasPrefix(key, "ledger/") || lost >= 2 {
				return nil
			}
			lost++
			if lost == 1 {
				return fmt.Errorf("never arrived: %w", persistence.ErrUnknown)
			}
			return fmt.Errorf("once more: %w", persistence.ErrUnknown)
		}
		a.store.mu.Unlock()
		id := w.ask(record.Request{Action: record.ActArm})
		w.until("the request is answered", 10*time.Second, func() bool { _, ok := w.tail().State.Answers[id]; return ok })
		if lost != 2 {
			t.Errorf("%d answers were lost", lost)
		}
		epochs, armed := map[uint64]bool{}, 0
		for seq := w.tail().Seq; seq > 0; seq-- {
			e, err := ledger.Read(context.Background(), w.store, "", seq)
			if err != nil {
				t.Fatal(err)
			}
			epochs[e.Epoch] = true
			for _, r := range e.Requests {
				if r == id {
					armed++
				}
			}
		}
		if len(epochs) != 2 || armed != 1 {
			t.Errorf("epochs %v, executed %d times", epochs, armed)
		}
	})
}

func TestSwitchoverAndHoldBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b, c := w.start("b", nil), w.start("c", nil)
		w.until("both are standby", 10*time.Second, func() bool { return b.State() == StateStandby && c.State() == StateStandby })
		w.wait(5 * time.Second)
		epoch := w.tail().Epoch
		w.ask(record.Request{Action: record.ActPromote, Node: "c"})
		w.until("c is master", 5*time.Second, func() bool { return len(masters(c)) == 1 })
		w.wait(5 * time.Second)
		if e := w.tail(); e.Epoch != epoch+1 || e.State.Master != "c" {
			t.Fatalf("epoch %d master %s", e.Epoch, e.State.Master)
		}
		// Demoted by hand, c does not claim again while another can.
		w.ask(record.Request{Action: record.ActDemote, Node: "c"})
		w.until("a is master", 5*time.Second, func() bool { return len(masters(a)) == 1 })
		a.kill()
		w.until("b is master", 20*time.Second, func() bool { return len(masters(b)) == 1 })
		b.kill()
		w.until("c is master, since nobody else can", 30*time.Second, func() bool { return len(masters(c)) == 1 })
	})
}

// TestPriority: higher priorities first; a higher one that joins later does not
// preempt.
func TestPriority(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil)
		c := w.start("c", nil, func(c *Config) { c.Priority = 10 })
		w.until("both are standby", 10*time.Second, func() bool { return b.State() == StateStandby && c.State() == StateStandby })
		w.wait(20 * time.Second)
		if m := masters(a, b, c); len(m) != 1 || m[0] != "a" {
			t.Fatalf("masters: %v", m)
		}
		a.kill()
		w.until("c is master", 20*time.Second, func() bool { return len(masters(c)) == 1 })
	})
}

func TestManualPromotion(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		manual := func(c *Config) { c.Promotion = PromotionManual }
		a := w.start("a", nil, manual)
		w.until("a holds a lease", 10*time.Second, func() bool { return a.State() == StateStandby })
		w.wait(3 * testTimings.Timeout)
		if m := masters(a); len(m) != 0 {
			t.Fatal("a node that only the operator promotes has promoted itself")
		}
		id := w.ask(record.Request{Action: record.ActPromote, Node: "a"})
		w.until("a is master", 5*time.Second, func() bool { return len(masters(a)) == 1 })
		w.until("the request is answered once", 5*time.Second, func() bool { return w.tail().State.Answers[id].OK })
	})
}

// TestForce: a steal does not wait; the old master learns it from its next
// write or read.
func TestForce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil)
		w.until("b is standby", 10*time.Second, func() bool { return b.State() == StateStandby })
		w.wait(3 * time.Second)
		a.store.cut(errNoStore) // it cannot hear of it
		w.stolen = true
		w.ask(record.Request{Action: record.ActPromote, Node: "b", Force: true})
		w.until("b is master", 3*time.Second, func() bool { return b.State() == StateMaster })
		a.store.cut(nil)
		w.wait(3 * time.Second)
		if m := masters(a, b); len(m) != 1 || m[0] != "b" {
			t.Errorf("masters: %v", m)
		}
	})
}

// TestHotBackupNeverClaims.
func TestHotBackupNeverClaims(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil, func(c *Config) { c.Mode = ModeHotBackup })
		w.until("b follows", 10*time.Second, func() bool { return b.State() == StateHotBackup })
		a.kill()
		w.wait(5 * testTimings.Timeout)
		if m := masters(b); len(m) != 0 {
			t.Error("a hot backup claimed")
		}
	})
}

func TestModesThatAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.start("s", nil, func(c *Config) { c.Mode = ModeStandby })
		<-s.done
		if !errors.Is(s.err, ErrMode) {
			t.Errorf("a standby without a cluster: %v", s.err)
		}
		h := w.start("h", nil, func(c *Config) { c.Mode = ModeHotBackup })
		<-h.done
		if !errors.Is(h.err, ErrMode) {
			t.Errorf("a hot backup, which never claims, without a cluster: %v", h.err)
		}
		if names, err := w.store.List(context.Background(), ""); err != nil || len(names) > 0 {
			t.Errorf("they wrote %v (%v)", names, err)
		}
		a := w.start("a", nil)
		w.one(a)
		m := w.start("m", nil, func(c *Config) { c.Mode = ModeMaster })
		<-m.done
		if !errors.Is(m.err, ErrMode) {
			t.Errorf("a master beside a master: %v", m.err)
		}
		b := w.start("b", nil, func(c *Config) { c.Mode = ModeHotStandby })
		w.until("b follows", 10*time.Second, func() bool { return b.State() == StateHotStandby })
	})
}

// TestNames: a name is bound to a machine and its key.
func TestNames(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		epoch := w.tail().Epoch
		other := w.start("a", local.Map())
		<-other.done
		if !errors.Is(other.err, ErrName) {
			t.Errorf("a second machine under the name: %v", other.err)
		}
		// A clone of the machine, memory and all.
		clone := local.Map()
		for _, f := range []string{"memory.json", "key.pem"} {
			data, err := a.memory.Read(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := clone.Write(f, data); err != nil {
				t.Fatal(err)
			}
		}
		twin := w.start("a", clone)
		<-twin.done
		if !errors.Is(twin.err, ErrName) {
			t.Errorf("a clone: %v", twin.err)
		}
		if m := masters(a); len(m) != 1 || w.tail().Epoch != epoch {
			t.Error("the first was harmed")
		}
	})
}

// TestABoundName is refused to another machine also while its own is down.
func TestABoundName(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil)
		w.until("b is standby", 10*time.Second, func() bool { return b.State() == StateStandby })
		b.stop()
		other := w.start("b", local.Map())
		w.until("it is refused", 10*time.Second, func() bool {
			select {
			case <-other.done:
				return true
			default:
				return false
			}
		})
		if !errors.Is(other.err, ErrName) {
			t.Errorf("a second machine under the name: %v", other.err)
		}
	})
}

// TestAWorkerNeverClaims, though it is all that is left, and asked to.
func TestAWorkerNeverClaims(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil, func(c *Config) { c.Role = ledger.RoleWorker })
		w.until("b follows", 10*time.Second, func() bool { return b.State() == StateStandby })
		w.wait(10 * time.Second)
		a.kill()
		w.wait(5 * testTimings.Timeout)
		w.ask(record.Request{Action: record.ActPromote, Node: "b", Force: true})
		w.wait(5 * time.Second)
		if m := masters(b); len(m) != 0 {
			t.Error("a worker claimed")
		}
	})
}

// TestRemembers: an empty, another or a shorter ledger is never followed.
func TestRemembers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		w.wait(5 * time.Second)
		a.stop()
		kept := w.store
		w.store = newWorld(t).store
		again := w.start("a", a.memory)
		<-again.done
		if !errors.Is(again.err, ErrCluster) || !strings.Contains(again.err.Error(), "mount missing") {
			t.Errorf("an empty store: %v", again.err)
		}
		b := w.start("b", nil)
		w.one(b)
		again = w.start("a", a.memory)
		<-again.done
		if !errors.Is(again.err, ErrCluster) {
			t.Errorf("another cluster: %v", again.err)
		}
		b.kill()
		w.store = kept
		last := w.tail().Seq
		data, _ := w.store.Get(context.Background(), ledger.Key(last))
		if err := w.store.Delete(context.Background(), ledger.Key(last)); err != nil {
			t.Fatal(err)
		}
		again = w.start("a", a.memory)
		<-again.done
		if !errors.Is(again.err, ErrCluster) {
			t.Errorf("a shorter ledger: %v", again.err)
		}
		if err := w.store.Create(context.Background(), ledger.Key(last), data.Value); err != nil {
			t.Fatal(err)
		}
		again = w.start("a", a.memory)
		w.one(again)
	})
}

// TestLostHistory: entries that vanish under a running cluster end all
// decisions; when they are back, it goes on. VMs run on all the while.
func TestLostHistory(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		ctx := context.Background()
		last := w.tail().Seq
		obj, err := w.store.Get(ctx, ledger.Key(last))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.Delete(ctx, ledger.Key(last)); err != nil {
			t.Fatal(err)
		}
		w.wait(6 * testTimings.Timeout)
		if a.State() != StateFailed || b.State() != StateFailed || len(masters(a, b)) != 0 {
			t.Fatalf("a is %s, b is %s, masters %v", a.State(), b.State(), masters(a, b))
		}
		if s := w.tail().Seq; s != last-1 {
			t.Fatalf("entry %d was written to a lost history", s)
		}
		for _, vm := range []string{"vm1", "vm2", "vm3"} {
			if len(w.runsOn(vm)) != 1 {
				t.Errorf("%s runs on %v", vm, w.runsOn(vm))
			}
		}
		if err := w.store.Create(ctx, ledger.Key(last), obj.Value); err != nil {
			t.Fatal(err)
		}
		w.one(a, b)
	})
}

// TestFreezeAndArm: nothing fails over while frozen; the VMs run on without a
// deadline, and have one again after arm before silence proves anything.
func TestFreezeAndArm(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		w.ask(record.Request{Action: record.ActFreeze})
		w.until("both have let go", 10*time.Second, func() bool { return a.host.letGo() && b.host.letGo() })
		a.kill()
		w.wait(5 * testTimings.Timeout)
		if on := w.runsOn("vm1"); len(on) != 1 || on[0] != "a" {
			t.Errorf("vm1 runs on %v", on)
		}
		w.one(b)
		w.ask(record.Request{Action: record.ActArm})
		w.wait(5 * testTimings.Timeout)
		// a said that its silence proves nothing: the failover waits.
		if on := w.runsOn("vm1"); len(on) != 1 || on[0] != "a" {
			t.Errorf("vm1 runs on %v", on)
		}
		a = w.start("a", a.memory)
		w.until("a is back and its silence proves again", 40*time.Second, func() bool {
			m := w.tail().State.Members["a"]
			return m.Fence == nil && m.Proof == record.ProofElapsed && !a.host.letGo()
		})
		if on := w.runsOn("vm1"); len(on) != 1 || on[0] != "a" {
			t.Errorf("vm1 runs on %v", on)
		}
	})
}

// TestColdStart: members that were never seen are not dead before the grace.
func TestColdStart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		a.kill()
		b.kill()
		w.hosts["a"].crash()
		w.hosts["b"].crash()
		w.wait(5 * time.Minute)
		b = w.start("b", b.memory)
		w.one(b)
		w.wait(40 * time.Second)
		if f := w.tail().State.Members["a"].Fence; f != nil {
			t.Fatalf("a is fenced within its grace: %+v", f)
		}
		w.until("vm1 runs on b after the grace", 2*time.Minute, func() bool { on := w.runsOn("vm1"); return len(on) == 1 && on[0] == "b" })
	})
}

// TestTornMasterHeartbeat: bytes that stand still unread are silence for a
// claim, and no proof for the VMs.
func TestTornMasterHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		if m := masters(a, b); len(m) != 1 || m[0] != "a" {
			t.Fatalf("masters: %v", m)
		}
		a.kill()
		if err := w.store.Put(context.Background(), record.HeartbeatKey("a"), []byte(`{"format":1,"kind":"heartbeat","su`)); err != nil {
			t.Fatal(err)
		}
		w.until("b is master", 3*testTimings.Timeout, func() bool { return len(masters(b)) == 1 })
		w.wait(3 * testTimings.Timeout)
		s := w.tail().State
		if f := s.Members["a"].Fence; f == nil || f.Proof != "" || s.VMs["vm1"].Owner != "a" {
			t.Errorf("fence %+v, vm1 %+v", f, s.VMs["vm1"])
		}
	})
}

// TestReturnBeforeProof cancels the failover, and the VMs run on.
func TestReturnBeforeProof(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, false)
		started := w.hosts["a"].started
		a.store.cut(errNoStore)
		w.until("a is being fenced", 5*testTimings.Timeout, func() bool { return w.tail().State.Members["a"].Fence != nil })
		w.wait(10 * time.Second)
		a.store.cut(nil)
		w.until("the failover is cancelled", 20*time.Second, func() bool {
			s := w.tail().State
			return s.Members["a"].Fence == nil && len(s.Failovers) == 0
		})
		w.wait(10 * time.Second)
		if w.hosts["a"].started != started || w.tail().State.VMs["vm1"].Generation != 1 {
			t.Error("a VM was started anew")
		}
		w.one(a, b)
	})
}

// TestOperatorWasWrong: confirmed to run nothing, a node that did run VMs kills
// them the moment it reads so.
func TestOperatorWasWrong(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, false)
		a.store.cut(errNoStore)
		w.until("a is being fenced", 5*testTimings.Timeout, func() bool { return w.tail().State.Members["a"].Fence != nil })
		// b cannot start them, so that the operator's error is seen to be mended.
		w.mu.Lock()
		w.hosts["b"].startErr = errors.New("no memory")
		w.mu.Unlock()
		hb := b.getView().nodes["a"].Last
		w.ask(record.Request{Action: record.ActConfirmFenced, Node: "a", Incarnation: hb.Incarnation, Heartbeat: hb.Seq})
		w.until("the VMs belong to b", 10*time.Second, func() bool { return w.tail().State.VMs["vm1"].Owner == "b" })
		a.store.cut(nil)
		w.until("a has killed them", 5*time.Second, func() bool { return len(w.runsOn("vm1")) == 0 && len(w.runsOn("vm2")) == 0 })
		w.mu.Lock()
		w.hosts["b"].startErr = nil
		w.mu.Unlock()
		w.until("they run on b", 90*time.Second, func() bool { on := w.runsOn("vm1"); return len(on) == 1 && on[0] == "b" })
		w.until("a has rejoined", 20*time.Second, func() bool { return w.tail().State.Members["a"].Fence == nil })
	})
}

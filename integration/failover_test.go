package integration

import (
	"cmp"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

var threeHosts = map[string][]string{"a": {"a1", "a2"}, "b": {"b1"}, "c": {"c1"}}

// fault is one way in which a host fails, or leaves, and how it comes back.
type fault struct {
	name      string
	master    bool // it is the master's host
	planned   bool // nothing may be lost
	act, back func(*lab, *daemon)
}

var faults = []fault{
	{"the daemon of the master is killed", true, false, daemonly((*daemon).kill), daemonly((*daemon).start)},
	{"another host loses its power", false, false, (*lab).powerOff, (*lab).powerOn},
	{"the daemon of the master stands still", true, false, daemonly((*daemon).freeze), daemonly((*daemon).thaw)},
	{"the master is told to stop", true, true, daemonly((*daemon).terminate), daemonly((*daemon).start)},
	{"another daemon is killed", false, false, daemonly((*daemon).kill), daemonly((*daemon).start)},
	{"another daemon stands still", false, false, daemonly((*daemon).freeze), daemonly((*daemon).thaw)},
	{"another daemon is told to stop", false, true, daemonly((*daemon).terminate), daemonly((*daemon).start)},
	{"the master's host loses its power", true, false, (*lab).powerOff, (*lab).powerOn},
}

func daemonly(f func(*daemon)) func(*lab, *daemon) {
	return func(_ *lab, d *daemon) { f(d) }
}

// Each host that fails has its VMs started elsewhere, from their newest
// snapshots and once; back again it starts nothing that has moved.
func TestFailover(t *testing.T) {
	t.Parallel()
	l := newLab(t, true, threeHosts)
	slow := 0
	for _, f := range faults {
		ok := false
		for !ok && slow <= maxSlow {
			t.Log(f.name)
			if ok = l.fail(f); !ok {
				slow++
				t.Log("the machine is too busy: it is done once more")
			}
		}
		if !ok {
			t.Fatalf("untouched daemons lose their leases: %s", f.name)
		}
	}
}

// fail does one fault to a host with VMs and brings it back. It gives false if
// a daemon that nobody touched lost its lease meanwhile.
func (l *lab) fail(f fault) bool {
	l.tb.Helper()
	l.ready()
	victim := l.victim(f.master)
	before, lost := l.tail(), l.lost(victim)
	moved := owned(before.State, victim.name)
	began := boottime.Now()
	f.act(l, victim)
	l.await("the VMs of "+victim.name+" run elsewhere", func() bool {
		return l.allRun() && len(owned(l.tail().State, victim.name)) == 0
	})
	if !f.planned {
		l.newest(began, victim.name)
	}
	f.back(l, victim)
	l.comeBack()
	if l.lost(victim) != lost {
		return false
	}
	after := l.tail()
	epochs := uint64(0)
	if f.master {
		epochs = 1
	}
	if after.Epoch != before.Epoch+epochs {
		l.tb.Errorf("epoch %d, before it was %d", after.Epoch, before.Epoch)
	}
	// It has been admitted again, and has had its time to start what it should not.
	l.holds("nothing starts on "+victim.name, 5*interval, func() bool { return len(l.started(victim.name, began)) == 0 })
	if f.planned {
		l.nothingLost(moved, began)
	}
	return true
}

// ready waits until nothing is under way, and every VM could go anywhere.
func (l *lab) ready() {
	l.tb.Helper()
	l.comeBack()
	l.await("all VMs run", l.allRun)
	l.turn()
	l.await("all VMs are replicated", func() bool { return l.allRun() && l.replicated() })
	l.settle()
}

// comeBack settles, with the operator's word for hosts that failed often.
func (l *lab) comeBack() {
	l.tb.Helper()
	l.await("every daemon is back", func() bool {
		if _, ok := l.settled(); ok {
			return true
		}
		for name, m := range l.tail().State.Members {
			if m.Fence != nil && m.Fence.Manual && m.Fence.Proof != "" {
				l.try("unfence", name) // a refusal is asked again
			}
		}
		return false
	})
}

// masterWithVMs gives the master, having handed the mastership to the host with
// the most VMs if the master has none.
func (l *lab) masterWithVMs() *daemon {
	l.tb.Helper()
	m := l.settle()
	epoch, s := l.tail().Epoch, l.tail().State
	if len(owned(s, m.name)) > 0 {
		return m
	}
	to := slices.MaxFunc(l.daemons, func(a, b *daemon) int {
		return cmp.Compare(len(owned(s, a.name)), len(owned(s, b.name)))
	})
	if !l.try("promote", to.name) {
		return m
	}
	l.claimed(m, epoch+1)
	return l.settle()
}

// victim is the master, or another daemon, if possible one that owns VMs.
func (l *lab) victim(master bool) *daemon {
	l.tb.Helper()
	if master {
		return l.masterWithVMs()
	}
	m := l.settle()
	for _, d := range l.daemons {
		if d != m && len(owned(l.tail().State, d.name)) > 0 {
			return d
		}
	}
	l.tb.Log("no other host owns a VM")
	return l.daemons[slices.IndexFunc(l.daemons, func(d *daemon) bool { return d != m })]
}

func owned(s ledger.State, host string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.VMs)), func(vm string) bool { return s.VMs[vm].Owner != host })
}

// started lists the VMs that a host started since an instant.
func (l *lab) started(host string, since time.Duration) []string {
	l.tb.Helper()
	var vms []string
	for _, a := range l.acts("start") {
		if a.Host == host && a.at() > since {
			vms = append(vms, a.VM)
		}
	}
	return vms
}

// nothingLost asserts that each VM that moved by plan began where it ended.
func (l *lab) nothingLost(vms []string, since time.Duration) {
	l.tb.Helper()
	ended := map[string]uint64{}
	for _, a := range l.acts("stop", "start") {
		switch {
		case a.at() < since || !slices.Contains(vms, a.VM):
		case a.Kind == "stop":
			ended[a.VM] = a.Counter
		case a.Counter < ended[a.VM]:
			l.tb.Errorf("%s ended at %d and began on %s at %d", a.VM, ended[a.VM], a.Host, a.Counter)
		}
	}
}

// Without a proof that the host runs nothing, its VMs are not started
// elsewhere: they run on, the failover waits for the operator's word.
func TestNoProofWaitsForTheOperator(t *testing.T) {
	t.Parallel()
	l := newLab(t, false, map[string][]string{"a": {"a1"}, "b": {"b1"}})
	a := l.daemons[0]
	began := boottime.Now()
	a.kill()
	waits := func() bool {
		s := l.tail().State
		f, under := s.Failovers["a"]
		fence := s.Members["a"].Fence
		return under && fence != nil && fence.Proof == "" && f.Moves["a1"].Phase == ledger.MoveWaiting
	}
	l.await("the failover of a waits", waits)
	l.holds("it waits, and a1 runs on where it ran", 2*takeoverTimeout, func() bool {
		on := l.runsOn("a1")
		return waits() && len(on) == 1 && on[0] == "a" && len(l.started("b", began)) == 0
	})
	if !slices.Contains(l.failovers(), "a") {
		t.Errorf("status knows of no failover of a")
	}
	l.endVMs("a") // what the operator vouches for is true
	l.op("confirm-fenced", "a")
	l.await("a1 runs on b", func() bool { on := l.runsOn("a1"); return len(on) == 1 && on[0] == "b" && l.allRun() })
	l.newest(began, "a")
	if f := l.fenceOf("a"); f == nil || f.Proof != ledger.ProvedOperator {
		t.Errorf("fence of a: %+v", f)
	}
	a.start()
	l.settle()
	l.holds("nothing starts on a", 5*interval, func() bool { return len(l.started("a", began)) == 0 })
}

// Without self-stopping VMs a daemon that is told to stop lets its VMs run on,
// and nobody takes them.
func TestStoppedDaemonLeavesItsVMsAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t, false, map[string][]string{"a": {"a1"}, "b": {"b1"}})
	a := l.daemons[0]
	began := boottime.Now()
	a.terminate()
	if left := l.tail().State.Members["a"].Left; left != record.LeaveFreeze {
		t.Errorf("the ledger says that a left by %q", left)
	}
	l.holds("a1 runs on where it ran", 2*takeoverTimeout, func() bool {
		on := l.runsOn("a1")
		return len(on) == 1 && on[0] == "a" && l.fenceOf("a") == nil
	})
	a.start()
	l.settle()
	l.holds("no VM is started a second time", 5*interval, func() bool {
		return len(l.started("a", began)) == 0 && len(l.started("b", began)) == 0
	})
}

// fenceOf is the fence on a node by the newest entry; nil is none.
func (l *lab) fenceOf(node string) *ledger.Fence { return l.tail().State.Members[node].Fence }

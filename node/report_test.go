package node

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/report"
)

// kept is a ReportFile in memory.
type kept struct {
	mu    sync.Mutex
	last  *report.Report
	saves int
	err   error
}

func (k *kept) Load() (*report.Report, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.err
}

func (k *kept) Save(r *report.Report) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last, k.saves = r, k.saves+1
	return nil
}

func (k *kept) get() (*report.Report, int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.saves
}

func keeps(k *kept) func(*Config) { return func(c *Config) { c.Report = k } }

func inDebug(c *Config) { c.Debug = true }

// logs adds a copy of what a node logs.
type logs struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logs) have(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.all.String(), text)
}

func logged(l *logs) func(*Config) { return func(c *Config) { c.Log = zerolog.New(l) } }

func events(r *report.Report) []string {
	var all []string
	for _, e := range r.Events {
		all = append(all, e.Kind+" "+e.Node)
	}
	return all
}

// TestDebugClusterReports: b loses its store, would have been fenced, and exits; a,
// the master, would have failed it over. Neither owns, proves or does anything, and
// both tell afterwards what there was.
func TestDebugClusterReports(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		w.host("b", true, "vm2")
		w.hosts["b"].vms["vm2"].running = true // by somebody else's hand
		var ka, kb kept
		var la, lb logs
		a := w.start("a", nil, inDebug, keeps(&ka), logged(&la))
		w.one(a)
		b := w.start("b", nil, keeps(&kb), logged(&lb))
		w.standby(b)
		w.ask(record.Request{Action: record.ActArm})
		for range 100 {
			w.replicate("vm2")
			w.wait(5 * time.Second)
		}
		hb := b.getView().own
		if s := w.tail().State; !s.Debug || !s.Armed || len(s.VMs) > 0 || s.Members["b"].Proof == record.ProofElapsed || hb.Proof == record.ProofElapsed {
			t.Errorf("it owns or proves something: %+v, heartbeat %+v", s, hb)
		}
		b.store.cut(errNoStore)
		w.until("b has exited", testTimings.Timeout, func() bool {
			select {
			case <-b.done:
				return true
			default:
				return false
			}
		})
		if !errors.Is(b.err, ErrDebugFenced) {
			t.Errorf("b ended with %v", b.err)
		}
		w.until("a would have failed b over", 2*testTimings.Timeout, func() bool {
			return la.have("debug: would have failed over b: no sign of life for the takeover timeout (it ran vm2)")
		})
		id := w.ask(record.Request{Action: record.ActConfirmFenced, Node: "b", Incarnation: hb.Incarnation, Heartbeat: 1 << 40})
		if ans := w.answer(id); ans.OK || !strings.Contains(ans.Text, "confirms no fence") {
			t.Errorf("answer: %+v", ans)
		}
		w.wait(2 * testTimings.Timeout)
		s := w.tail().State
		if s.Members["b"].Fence != nil || len(s.Failovers) > 0 || len(s.VMs) > 0 {
			t.Errorf("something was done: %+v", s)
		}
		if on := w.runsOn("vm2"); len(on) != 1 || len(w.runsOn("vm1")) != 0 || w.hosts["a"].started+w.hosts["b"].started > 0 {
			t.Errorf("vm2 on %v, vm1 on %v, %d and %d started", on, w.runsOn("vm1"), w.hosts["a"].started, w.hosts["b"].started)
		}
		a.stop()

		ra, _ := ka.get()
		rb, _ := kb.get()
		if got := events(rb); !slices.Equal(got, []string{"fenced b"}) || !strings.Contains(rb.Events[0].Why, errNoStore.Error()) {
			t.Errorf("events of b: %+v", rb.Events)
		}
		if rb.Gap.Length < testTimings.Renew || rb.Gap.Length > testTimings.Renew+testTimings.Interval || !rb.Gap.Open {
			t.Errorf("gap of b: %+v", rb.Gap)
		}
		if got := events(ra); !slices.Equal(got, []string{"silent b", "failed-over b"}) {
			t.Errorf("events of a: %+v", ra.Events)
		}
		if g := ra.Peers["b"].Worst; g.Length < testTimings.Timeout || !g.Open {
			t.Errorf("silence of b: %+v", g)
		}
		if g := ra.Gap; g.Length >= 2*testTimings.Interval {
			t.Errorf("gap of a: %+v", g)
		}
		v := ra.View()
		if len(v.Replicas) != 2 || v.Replicas[0].Own || *v.Replicas[0].Interval != 5 || !*v.Replicas[0].KeptUp || !v.Replicas[1].Own {
			t.Errorf("replicas: %+v", v.Replicas)
		}
		if v := rb.View(); v.Quiet == nil || *v.Quiet <= testTimings.Timeout.Seconds() || *v.QuietRenew <= rb.Gap.Length.Seconds() {
			t.Errorf("quiet: %+v", v)
		}
		for l, text := range map[*logs]string{
			&la: "b would have been failed over: no sign of life for the takeover timeout; it ran vm2",
			&lb: "b would have been fenced after ",
		} {
			if !l.have(text) {
				t.Errorf("nobody logs %q", text)
			}
		}
	})
}

// TestReportOfAnOrdinaryCluster: an outage that the lease outlives is a gap and no
// more; nothing is logged of it at the end.
func TestReportOfAnOrdinaryCluster(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var ka kept
		var la logs
		a := w.start("a", nil, keeps(&ka), logged(&la))
		w.one(a)
		b := w.start("b", nil)
		w.standby(b)
		w.wait(30 * time.Second)
		a.store.cut(errNoStore)
		w.wait(3 * time.Second)
		a.store.cut(nil)
		w.wait(30 * time.Second)
		b.stop()
		w.wait(3 * testTimings.Timeout)
		a.stop()
		r, _ := ka.get()
		if r.Gap.Length < 3*time.Second || r.Gap.Length > testTimings.Renew || r.Gap.Open || !strings.Contains(r.Gap.Cause, errNoStore.Error()) {
			t.Errorf("gap: %+v", r.Gap)
		}
		// What a could not see, and b's orderly end, are no silence of b.
		if g := r.Peers["b"].Worst; g.Length > 2*testTimings.Interval || len(r.Events) > 0 || r.Peers["b"].News < 50 {
			t.Errorf("of b: %+v, events %+v", r.Peers["b"], r.Events)
		}
		if r.Debug || la.have("report: ") {
			t.Error("a cluster that is not in debug mode logged its report")
		}
		if r.Jumps != 0 || r.Late.Worst > 100*time.Millisecond {
			t.Errorf("%d jumps, late by %s", r.Jumps, r.Late.Worst)
		}
	})
}

// TestReportIsKept: once a minute and at an end in order; a crash leaves the minute
// before; a restart goes on with it, or begins anew where it cannot.
func TestReportIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var k kept
		a := w.start("a", nil, keeps(&k))
		w.one(a)
		w.wait(5*time.Minute - 30*time.Second)
		if _, saves := k.get(); saves != 4 {
			t.Errorf("saved %d times in four and a half minutes", saves)
		}
		a.kill()
		crashed, saves := k.get()
		if saves != 4 {
			t.Errorf("a crash saved its report")
		}
		a = w.start("a", a.memory, keeps(&k))
		w.one(a)
		a.stop()
		after, _ := k.get()
		if after.Runs != 2 || after.Beats <= crashed.Beats || after.Cluster == "" || after.Node != "a" {
			t.Errorf("%d runs, %d beats after %d, node %q of %q", after.Runs, after.Beats, crashed.Beats, after.Node, after.Cluster)
		}

		for _, c := range []struct {
			text  string
			spoil func()
		}{
			{"the one before cannot be read", func() { k.err = record.ErrTorn }},
			{`the one before is of node \"z\"`, func() { k.err, k.last.Node = nil, "z" }},
			{`of cluster \"z\"`, func() { k.last.Cluster = "z" }},
		} {
			c.spoil()
			var l logs
			a = w.start("a", a.memory, keeps(&k), logged(&l))
			w.one(a)
			a.stop()
			r, _ := k.get()
			if !l.have(c.text) || r.Runs != 1 {
				t.Errorf("%d runs; it does not log %q", r.Runs, c.text)
			}
		}
	})
}

// TestDebugModeIsTurnedOnAndOff: while frozen the VMs of an armed cluster run on, in
// debug mode nothing is started, and afterwards who runs a VM owns it.
func TestDebugModeIsTurnedOnAndOff(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		two(w, true)
		set := func(on bool) {
			w.ask(record.Request{Action: record.ActFreeze})
			w.wait(3 * time.Second)
			if ans := w.answer(w.ask(record.Request{Action: record.ActDebug, Debug: on})); !ans.OK {
				t.Fatalf("debug %t: %+v", on, ans)
			}
			w.ask(record.Request{Action: record.ActArm})
			w.until("it is armed", 5*time.Second, func() bool { s := w.tail().State; return s.Armed && !s.Frozen && s.Debug == on })
		}
		if ans := w.answer(w.ask(record.Request{Action: record.ActDebug, Debug: true})); ans.OK {
			t.Errorf("debug mode though it is not frozen: %+v", ans)
		}
		set(true)
		w.wait(3 * testTimings.Timeout)
		for vm, on := range map[string]string{"vm1": "a", "vm2": "a", "vm3": "b"} {
			w.stays(vm, on)
		}
		// By hand vm1 moves to b, and vm2 ends.
		w.mu.Lock()
		w.hosts["a"].vms["vm1"].running = false
		w.hosts["b"].vms["vm1"] = &fakeVM{disk: w.hosts["a"].vms["vm1"].disk, running: true}
		w.hosts["a"].vms["vm2"].running = false
		w.mu.Unlock()
		w.wait(2 * testTimings.Timeout)
		if len(w.runsOn("vm2")) > 0 {
			t.Error("a debug cluster has started a VM")
		}
		set(false)
		w.until("vm2 runs again, and vm1 is b's", 20*time.Second, func() bool {
			s := w.tail().State
			return len(w.runsOn("vm2")) == 1 && s.VMs["vm1"].Owner == "b" && len(s.Repair) == 0
		})
		w.wait(2 * testTimings.Timeout)
		w.stays("vm1", "b")
		w.stays("vm3", "b")
	})
}

// TestDebugKillsNothing: a VM that was moved away is started again by hand on its old
// host. An armed cluster kills it there; in debug mode it is let be.
func TestDebugKillsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := two(w, false)
		a.kill()
		a = w.start("a", a.memory, func(c *Config) { c.OnStop = record.LeaveMove })
		w.until("a is admitted", 20*time.Second, func() bool {
			return a.State() != StateInitializing && w.tail().State.Members["a"].Admitted == a.cfg.Memory.Incarnation()
		})
		a.stop()
		w.comes("vm1", "b", 10*time.Second)
		w.start("a", a.memory)
		w.until("a is admitted, and its move complete", 20*time.Second, func() bool {
			s := w.tail().State
			return s.Members["a"].Left == "" && len(s.Failovers) == 0
		})
		w.ask(record.Request{Action: record.ActFreeze})
		w.wait(3 * time.Second)
		if ans := w.answer(w.ask(record.Request{Action: record.ActDebug, Debug: true})); !ans.OK {
			t.Fatalf("%+v", ans)
		}
		w.ask(record.Request{Action: record.ActArm})
		w.wait(3 * time.Second)
		w.change(func() {
			w.hosts["b"].vms["vm1"].running = false
			w.hosts["a"].vms["vm1"].running = true
		})
		w.wait(2 * testTimings.Timeout)
		w.stays("vm1", "a")
	})
}

package vmctl_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// goodFacts are such that the gate is open for "web" on "a".
func goodFacts() vmctl.Facts {
	return vmctl.Facts{
		Host: "a", Now: 100 * time.Second, LeaseUntil: 110 * time.Second,
		TailRead: 99 * time.Second, Renew: 13 * time.Second, Incarnation: "i1",
		Declared: "elapsed", Answered: "elapsed",
		Closed: func(string) uint64 { return 6 },
		State: &ledger.State{
			Armed:   true,
			Members: map[string]ledger.Member{"a": {Role: ledger.RoleCandidate, Admitted: "i1"}},
			VMs:     map[string]ledger.VM{"web": {Owner: "a", Generation: 7}},
		},
	}
}

// Each row breaks one fact of a good case.
func TestGateRefuses(t *testing.T) {
	member := func(change func(*ledger.Member)) func(*vmctl.Facts) {
		return func(f *vmctl.Facts) {
			m := f.State.Members["a"]
			change(&m)
			f.State.Members["a"] = m
		}
	}
	rows := []struct {
		name  string
		spoil func(*vmctl.Facts)
		why   string
	}{
		{"node failed", func(f *vmctl.Facts) { f.Failed = "history lost" }, "history lost"},
		{"no ledger", func(f *vmctl.Facts) { f.State = nil }, "the ledger has not been read"},
		{"no lease", func(f *vmctl.Facts) { f.LeaseUntil = 0 }, "this node holds no lease"},
		{"lease ends now", func(f *vmctl.Facts) { f.LeaseUntil = f.Now }, "this node holds no lease"},
		{"lease over", func(f *vmctl.Facts) { f.LeaseUntil = f.Now - 1 }, "this node holds no lease"},
		{"ledger read too long ago", func(f *vmctl.Facts) { f.TailRead = f.Now - f.Renew }, "the ledger was not read for 13s"},
		{"not read back", func(f *vmctl.Facts) { f.Made = true }, "the newest entry was made here and not read back yet"},
		{"store moved", func(f *vmctl.Facts) { f.State.Closed = true }, "the cluster has moved to another store"},
		{"debug", func(f *vmctl.Facts) { f.State.Debug = true }, "the cluster is in debug mode"},
		{"not armed", func(f *vmctl.Facts) { f.State.Armed = false }, "the cluster is not armed yet"},
		{"frozen", func(f *vmctl.Facts) { f.State.Frozen = true }, "the cluster is frozen"},
		{"repaired", func(f *vmctl.Facts) { f.State.Repair = map[string]bool{"b": true} }, "the ledger was repaired and not every member has reported"},
		{"no member", func(f *vmctl.Facts) { f.State.Members = nil }, "this node is no member"},
		{"nobody admitted", member(func(m *ledger.Member) { m.Admitted = "" }), "this incarnation is not admitted"},
		{"no incarnation at all", func(f *vmctl.Facts) {
			f.Incarnation = ""
			f.State.Members["a"] = ledger.Member{Role: ledger.RoleCandidate}
		}, "this incarnation is not admitted"},
		{"another incarnation", member(func(m *ledger.Member) { m.Admitted = "i2" }), "this incarnation is not admitted"},
		{"witness", member(func(m *ledger.Member) { m.Role = ledger.RoleWitness }), "a witness runs no VMs"},
		{"fenced", member(func(m *ledger.Member) { m.Fence = &ledger.Fence{Why: "silent"} }), "this node is fenced: silent"},
		{"leaving", member(func(m *ledger.Member) { m.Left = "freeze" }), "this node is leaving"},
		{"unknown VM", func(f *vmctl.Facts) { delete(f.State.VMs, "web") }, "it is not in the ledger"},
		{"conflict", func(f *vmctl.Facts) { f.State.Conflicts = map[string]ledger.Conflict{"web": {}} }, "several hosts claim it"},
		{"another owner", func(f *vmctl.Facts) { f.State.VMs["web"] = ledger.VM{Owner: "b", Generation: 7} }, "it belongs to b"},
		{"closed", func(f *vmctl.Facts) { f.Closed = func(string) uint64 { return 7 } }, "generation 7 is closed here"},
		{"a later one closed", func(f *vmctl.Facts) { f.Closed = func(string) uint64 { return 8 } }, "generation 7 is closed here"},
		{"no generation", func(f *vmctl.Facts) {
			f.Closed = func(string) uint64 { return 0 }
			f.State.VMs["web"] = ledger.VM{Owner: "a"}
		}, "generation 0 is closed here"},
		{"declaration unanswered", func(f *vmctl.Facts) { f.Answered = "nothing" }, `the heartbeat that declares "elapsed" has not been answered`},
		{"moved from here", func(f *vmctl.Facts) {
			f.State.Failovers = map[string]ledger.Failover{"a": {Moves: map[string]ledger.Move{"web": {Phase: ledger.MoveWaiting}}}}
		}, "it is being moved from here"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f := goodFacts()
			row.spoil(&f)
			rec := &recorder{}
			g := vmctl.NewGate(rec, replicas{rec}, func() vmctl.Facts { return f }, rec)
			var no *vmctl.Refusal
			if err := g.Check("web"); !errors.As(err, &no) || no.VM != "web" || no.Why != row.why {
				t.Errorf("Check: %v, want %q", err, row.why)
			}
			if err := g.Start(t.Context(), "web"); !errors.As(err, &no) || len(rec.did) > 0 {
				t.Errorf("Start: %v after %v", err, rec.did)
			}
		})
	}
}

func TestGateOpen(t *testing.T) {
	for name, change := range map[string]func(*vmctl.Facts){
		"base":         func(*vmctl.Facts) {},
		"last instant": func(f *vmctl.Facts) { f.LeaseUntil = f.Now + 1; f.TailRead = f.Now - f.Renew + 1 },
		"another VM moves": func(f *vmctl.Facts) {
			f.State.Failovers = map[string]ledger.Failover{"a": {Moves: map[string]ledger.Move{"db": {}}}}
		},
		"moved from another": func(f *vmctl.Facts) {
			f.State.Failovers = map[string]ledger.Failover{"b": {Moves: map[string]ledger.Move{"web": {}}}}
		},
		"another conflicts": func(f *vmctl.Facts) { f.State.Conflicts = map[string]ledger.Conflict{"db": {}} },
		"another is fenced": func(f *vmctl.Facts) { f.State.Members["b"] = ledger.Member{Fence: &ledger.Fence{}} },
	} {
		f := goodFacts()
		change(&f)
		if err := vmctl.NewGate(nil, nil, func() vmctl.Facts { return f }, nil).Check("web"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// recorder is a driver, a provider and a journal that write down the calls.
type recorder struct {
	did      []string
	prepared bool
	fail     map[string]error  // by call
	after    map[string]func() // run at the end of the call
}

func (r *recorder) do(call, args string) error {
	r.did = append(r.did, strings.TrimSpace(call+" "+args))
	if f := r.after[call]; f != nil {
		f()
	}
	return r.fail[call]
}

func (r *recorder) Start(_ context.Context, p vmctl.Permit) error {
	return errors.Join(p.Check(), r.do("start", fmt.Sprint(p.VM(), " ", p.Generation())))
}

func (r *recorder) Prepare(_ context.Context, p vmctl.Permit, guid string) error {
	return errors.Join(p.Check(), r.do("prepare", fmt.Sprint(p.VM(), " ", p.Generation(), " ", guid)))
}

func (r *recorder) Issued(vm string, g uint64) error { return r.do("issued", fmt.Sprint(vm, " ", g)) }

func (r *recorder) Resolved(vm string, g uint64, running bool) error {
	return r.do("resolved", fmt.Sprint(vm, " ", g, " ", running))
}

func (r *recorder) Prepared(vm string, g uint64) error {
	return r.do("prepared", fmt.Sprint(vm, " ", g))
}
func (r *recorder) IsPrepared(string, uint64) bool         { return r.prepared }
func (r *recorder) Stop(context.Context, string) error     { return nil }
func (r *recorder) Kill(context.Context, string) error     { return nil }
func (r *recorder) Healthy(context.Context, string) error  { return nil }
func (r *recorder) Snapshot(context.Context, string) error { return nil }

func (r *recorder) List(context.Context) ([]vmctl.VM, error) { return nil, nil }

// replicas is the recorder as a provider.
type replicas struct{ *recorder }

func (replicas) List(context.Context) ([]record.Dataset, error) { return nil, nil }

func TestGateStart(t *testing.T) {
	boom := errors.New("boom")
	// shut closes the gate between two acts.
	shut := func(call string) func(*vmctl.Facts, *recorder) {
		return func(f *vmctl.Facts, r *recorder) {
			r.after = map[string]func(){call: func() { f.Now = f.LeaseUntil }}
		}
	}
	failing := func(call string, err error) func(*vmctl.Facts, *recorder) {
		return func(_ *vmctl.Facts, r *recorder) { r.fail = map[string]error{call: err} }
	}
	restore := func(next func(*vmctl.Facts, *recorder)) func(*vmctl.Facts, *recorder) {
		return func(f *vmctl.Facts, r *recorder) {
			f.State.VMs["web"] = ledger.VM{Owner: "a", Generation: 7, Snapshot: "g1", Restore: true, Restored: 7}
			if next != nil {
				next(f, r)
			}
		}
	}
	const prep, mark, issued, start = "prepare web 7 g1", "prepared web 7", "issued web 7", "start web 7"
	const runs, not = "resolved web 7 true", "resolved web 7 false"
	rows := []struct {
		name string
		set  func(*vmctl.Facts, *recorder)
		did  []string
		err  string
	}{
		{"plain", func(*vmctl.Facts, *recorder) {}, []string{issued, start, runs}, ""},
		{"restore", restore(nil), []string{prep, mark, issued, start, runs}, ""},
		{"prepared before", restore(func(_ *vmctl.Facts, r *recorder) { r.prepared = true }), []string{issued, start, runs}, ""},
		{"prepare fails", restore(failing("prepare", boom)), []string{prep}, "boom"},
		{"prepared not remembered", restore(failing("prepared", boom)), []string{prep, mark}, "boom"},
		{"not remembered", failing("issued", boom), []string{issued}, "boom"},
		{"fails for certain", failing("start", boom), []string{issued, start, not}, "boom"},
		{"unresolved", failing("start", fmt.Errorf("cut off: %w", vmctl.ErrUnresolved)), []string{issued, start}, "start unresolved"},
		{"end not remembered", failing("resolved", boom), []string{issued, start, runs}, "boom"},
		{"lease lost while preparing", restore(shut("prepare")), []string{prep, mark, issued, not}, "holds no lease"},
		{"lease lost while remembering", shut("issued"), []string{issued, not}, "holds no lease"},
		{"generation changes meanwhile", func(f *vmctl.Facts, r *recorder) {
			r.after = map[string]func(){"issued": func() { f.State.VMs["web"] = ledger.VM{Owner: "a", Generation: 8} }}
		}, []string{issued, not}, "its generation changed meanwhile"},
		{"closed meanwhile", func(f *vmctl.Facts, r *recorder) {
			r.after = map[string]func(){"issued": func() { f.Closed = func(string) uint64 { return 7 } }}
		}, []string{issued, not}, "is closed here"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f, rec := goodFacts(), &recorder{}
			row.set(&f, rec)
			err := vmctl.NewGate(rec, replicas{rec}, func() vmctl.Facts { return f }, rec).Start(t.Context(), "web")
			if !slices.Equal(rec.did, row.did) {
				t.Errorf("it did %q, want %q", rec.did, row.did)
			}
			if (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("%v, want %q", err, row.err)
			}
		})
	}
}

func TestGateNeedsProviderToRestore(t *testing.T) {
	f, rec := goodFacts(), &recorder{}
	f.State.VMs["web"] = ledger.VM{Owner: "a", Generation: 7, Snapshot: "g1", Restore: true, Restored: 7}
	err := vmctl.NewGate(rec, nil, func() vmctl.Facts { return f }, rec).Start(t.Context(), "web")
	var no *vmctl.Refusal
	if !errors.As(err, &no) || len(rec.did) > 0 {
		t.Fatalf("%v after %q", err, rec.did)
	}
}

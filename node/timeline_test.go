package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// reluctant stops only by force, and notes when it was asked to.
type reluctant struct {
	checked
	mu             sync.Mutex
	stopped, kills time.Duration
	immortal       bool
}

func (r *reluctant) note(at *time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *at == 0 {
		*at = r.w.now()
	}
}

func (r *reluctant) asked() (stop, kill time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped, r.kills
}

func (r *reluctant) Stop(ctx context.Context, _ string) error {
	r.note(&r.stopped)
	<-ctx.Done()
	return ctx.Err()
}

func (r *reluctant) Kill(ctx context.Context, vm string) error {
	r.note(&r.kills)
	if r.immortal {
		return errStubborn
	}
	return r.fakeHost.Kill(ctx, vm)
}

// timelines are those of the timings by default, the shortest and long ones. With the
// shortest no device is armed, and the watchdog is accepted without.
var timelines = []struct{ timeout, interval time.Duration }{
	{lease.DefaultTimeout, lease.DefaultInterval}, {500 * time.Millisecond, lease.MinInterval}, {10 * time.Minute, 10 * time.Second},
}

// timed is a master a with vm1, guarded, and a standby b, which stand still but for what
// the test does.
type timed struct {
	*world
	t     lease.Timings
	a, b  *running
	k     *kennel
	vm    *reluctant
	dated time.Duration // of a's last renewal
}

func forTimelines(t *testing.T, immortal bool, f func(x *timed)) {
	for _, tl := range timelines {
		t.Run(fmt.Sprint(tl.timeout), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				timings, err := lease.NewTimings(tl.timeout, tl.interval)
				if err != nil {
					t.Fatal(err)
				}
				x := &timed{world: w, t: timings, k: w.guarded(w.host("a", false, "vm1"), hardware)}
				w.host("b", true)
				x.vm = &reluctant{checked: checked{x.k.host, x.k}, immortal: immortal}
				with := func(c *Config) { c.Timings, c.Grace = timings, timings.Timeout }
				x.a = x.k.daemon(nil, with, x.k.with(FenceStop), func(c *Config) {
					c.Driver = x.vm
					if timings.Watchdog == 0 {
						c.Guard.Unproved = func(s watchdog.State, _, now time.Duration) string { return watchdog.Accepted(s, now) }
					}
				})
				x.reaches("a is master", 5*timings.Timeout, func() bool { return len(masters(x.a)) == 1 })
				x.b = w.start("b", nil, with)
				x.reaches("b is standby", 5*timings.Timeout, func() bool { return x.b.State() == StateStandby })
				w.ask(record.Request{Action: record.ActArm})
				x.reaches("vm1 runs, replicated, and a's silence proves that", 5*timings.Timeout, func() bool {
					w.replicate("vm1")
					x.step(timings.Interval)
					return len(w.runsOn("vm1")) == 1 && w.proof() == record.ProofElapsed
				})
				for range 12 {
					w.replicate("vm1")
					x.step(timings.Interval)
				}
				until, held := x.a.Lease()
				if !held {
					t.Fatal("a holds no lease")
				}
				x.dated = until - timings.Renew
				f(x)
			})
		})
	}
}

// step lets a time pass in small pieces.
func (x *timed) step(d time.Duration) {
	for end := x.now() + d; x.now() < end; {
		<-time.After(min(x.grain(), end-x.now()))
		synctest.Wait()
	}
}

// grain is how exactly times are told.
func (x *timed) grain() time.Duration { return x.timings().Interval / 50 }

func (x *timed) timings() lease.Timings { return x.t }

// reaches waits for a condition, and gives when it came.
func (x *timed) reaches(what string, bound time.Duration, yes func() bool) time.Duration {
	x.world.t.Helper()
	for began := x.now(); !yes(); {
		if x.now()-began > bound {
			x.world.t.Fatalf("not within %s: %s", bound, what)
		}
		x.step(x.grain())
	}
	return x.now()
}

// within holds a row against when it happened.
func (x *timed) within(row string, at, from, to time.Duration) {
	x.world.t.Helper()
	if after := at - x.dated; after < from-x.grain() || after > to+2*x.grain() {
		x.world.t.Errorf("%s: %s after the last renewal, want %s to %s", row, after, from, to)
	}
}

// TestTimelineRows: what `hoster-ha timeline` says, row by row.
func TestTimelineRows(t *testing.T) {
	forTimelines(t, false, func(x *timed) {
		t, d, s, k, m, i := x.t, x.t.Renew, x.t.StopGrace, x.t.Kill, x.t.Margin, x.t.Interval
		tries := make(chan time.Duration, 100)
		x.a.store.on(func(op, key string) error {
			if op == "put" && key == record.HeartbeatKey("a") {
				select {
				case tries <- x.now():
				default:
				}
			}
			return errNoStore
		})
		standing := func() lease.Standing { return x.b.getView().nodes["a"].Standing }

		x.within("I", x.reaches("a tries to renew", t.Timeout, func() bool { return len(tries) > 0 }), i, i)
		if _, held := x.a.Lease(); !held {
			x.world.t.Error("the lease is over before D")
		}
		x.within("D", x.reaches("the lease is over", t.Timeout, func() bool { _, held := x.a.Lease(); return !held }), d, d)
		if err := x.a.host.gate.Check("vm1"); err == nil {
			x.world.t.Error("D: the gate is open")
		}
		x.reaches("the VMs are asked to stop", t.Timeout, func() bool { stop, _ := x.vm.asked(); return stop > 0 })
		stop, _ := x.vm.asked()
		x.within("D, VMs", stop, d, d+x.grain())
		suspect := x.reaches("a is suspect", t.Timeout, func() bool { return standing() == lease.Suspect })
		x.within("D+M", suspect, d+m, d+m+2*i)
		x.reaches("the VMs are killed", t.Timeout, func() bool { _, kill := x.vm.asked(); return kill > 0 })
		_, kill := x.vm.asked()
		x.within("D+S", kill, d+s, d+s+k/10)
		x.within("D+S+K, verified", x.reaches("all is verified stopped, and the watchdog disarmed", t.Timeout, func() bool {
			return !x.k.armed() && len(x.runsOn("vm1")) == 0
		}), d+s, d+s+k)
		x.within("T", x.reaches("a is stale", t.Timeout, func() bool { return standing() == lease.Stale }), t.Timeout, t.Timeout+i)
		x.within("T+I", x.reaches("b claims", t.Timeout, func() bool { return x.tail().State.Master == "b" }), t.Timeout, t.Timeout+i)
		x.within("T+2I", x.reaches("the failover is journaled, with its proof", t.Timeout, func() bool {
			f := x.tail().State.Members["a"].Fence
			return f != nil && f.Proof == ledger.ProvedElapsed
		}), t.Timeout, t.Timeout+2*i)
		x.within("T+4I", x.reaches("vm1 belongs to b", t.Timeout, func() bool { return x.tail().State.VMs["vm1"].Owner == "b" }), t.Timeout, t.Timeout+4*i)
		x.within("T+4I, VM", x.reaches("vm1 runs on b", t.Timeout, func() bool { return len(x.runsOn("vm1")) == 1 }), t.Timeout, t.Timeout+4*i+i/2)
		x.k.never()
	})
}

// TestTimelineReset: what cannot be stopped ends with the host, at D+S+K.
func TestTimelineReset(t *testing.T) {
	forTimelines(t, true, func(x *timed) {
		x.a.store.cut(errNoStore)
		x.reaches("the host is ended", x.t.Timeout, func() bool { return len(x.k.all()) > 0 })
		x.within("D+S+K", x.k.all()[0], x.t.Stopped(), x.t.Stopped()+x.t.Margin/10)
	})
}

// TestTimelineDevice: where the watchdog's process dies too, its device ends the host at
// D+S+K+W at the latest.
func TestTimelineDevice(t *testing.T) {
	forTimelines(t, true, func(x *timed) {
		if x.t.Watchdog == 0 {
			return // none is armed
		}
		x.a.kill()
		x.step(x.t.Stopped() - x.grain() - (x.now() - x.dated))
		x.k.kill()
		x.reaches("the host is ended", x.t.Timeout, func() bool { return len(x.k.all()) > 0 })
		x.within("D+S+K+W", x.k.all()[0], x.t.Stopped(), x.t.Stopped()+x.t.Watchdog)
	})
}

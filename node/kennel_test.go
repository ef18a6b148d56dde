package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// kennel is a host's watchdog process, the real guard over a device that is none, and
// what starts it anew. It keeps Watchdog.
type kennel struct {
	w    *world
	host *fakeHost
	is   watchdog.Info // of its device

	mu      sync.Mutex
	guard   *watchdog.Guard
	ended   chan struct{} // of the process
	stopped bool          // by a signal
	absent  bool          // it cannot be started
	lazy    bool          // its device takes no pets
	lose    bool          // its next answer is lost, and it stands still after it
	timer   *time.Timer   // the device's
	resets  []time.Duration
	process *running // the daemon
	last    watchdog.State
}

var errKennel = errors.New("nothing answers")

// guarded gives a host a watchdog with a device of that timeout at most.
func (w *world) guarded(h *fakeHost, is watchdog.Info) *kennel {
	k := &kennel{w: w, host: h, is: is}
	w.ends = append(w.ends, k.kill)
	return k
}

// with is the configuration of a node that this watchdog guards.
func (k *kennel) with(action string) func(*Config) {
	return func(c *Config) {
		c.Guard = &Guard{Watchdog: k, Action: action, Unproved: func(s watchdog.State, most, now time.Duration) string {
			return watchdog.Unproved(s, watchdog.Host{}, most, now)
		}}
		c.Driver = checked{k.host, k}
	}
}

// reset is what ends the host.
func (k *kennel) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.resets = append(k.resets, k.host.now())
	if k.ended != nil {
		close(k.ended)
		k.ended, k.guard = nil, nil
	}
	if k.timer != nil {
		k.timer.Stop()
	}
	k.host.crash()
	if k.process != nil {
		k.process.cancel(ErrCrash)
	}
}

// begin starts the process; the lock is held.
func (k *kennel) begin(action string) {
	end := make(chan struct{})
	g := watchdog.New(watchdog.Options{
		Action: action, Now: k.host.now,
		Device: func(d time.Duration) (watchdog.Device, error) { return &counter{k: k, timeout: d}, nil },
		Reset:  func() { go k.reset() },
	})
	k.guard, k.ended = g, end
	g.Tick()
	go func() {
		for {
			select {
			case <-end:
				return
			case <-time.After(g.Rest(50 * time.Millisecond)):
			}
			k.mu.Lock()
			idle := k.stopped || k.guard != g
			k.mu.Unlock()
			if !idle {
				g.Tick()
			}
		}
	}()
}

// kill ends the process; its device counts on.
func (k *kennel) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != nil {
		close(k.ended)
		k.ended, k.guard = nil, nil
	}
}

func (k *kennel) stop(stopped bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = stopped
}

// call asks the process, or starts one, which answers the next question.
func (k *kennel) call(f func(*watchdog.Guard) error) (watchdog.State, error) {
	k.mu.Lock()
	if k.stopped {
		k.mu.Unlock()
		<-time.After(time.Second)
		return watchdog.State{}, errKennel
	}
	g := k.guard
	if g == nil && !k.absent {
		action := watchdog.ActionReboot
		if k.process != nil && k.process.cfg.Guard.Action == FenceLog {
			action = watchdog.ActionLog
		}
		k.begin(action)
	}
	k.mu.Unlock()
	if g == nil {
		return watchdog.State{}, errKennel
	}
	err := f(g)
	s := g.State()
	k.mu.Lock()
	k.last = s
	lost := k.lose
	if lost {
		k.lose, k.stopped = false, true
	}
	k.mu.Unlock()
	if lost {
		return watchdog.State{}, errKennel
	}
	return s, err
}

func (k *kennel) Extend(deadline, timeout time.Duration, by string) (watchdog.State, error) {
	s, err := k.call(func(g *watchdog.Guard) error { return g.Extend(deadline, timeout, by) })
	return s, err
}

func (k *kennel) Disarm() (watchdog.State, error) { return k.call((*watchdog.Guard).Disarm) }

func (k *kennel) Acknowledge() (watchdog.State, error) { return k.call((*watchdog.Guard).Acknowledge) }

func (k *kennel) State() (watchdog.State, error) {
	return k.call(func(*watchdog.Guard) error { return nil })
}

// armed says whether the process would end the host, by what it was told last: asked
// itself, it could wait for its loop, which waits for this lock.
func (k *kennel) armed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.guard != nil && k.last.Armed
}

// all are when the host was ended.
func (k *kennel) all() []time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.resets)
}

// counter is the device: it ends the host when it is not petted.
type counter struct {
	k       *kennel
	timeout time.Duration
}

func (c *counter) Pet() bool {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.k.lazy {
		return false
	}
	if c.k.timer != nil {
		c.k.timer.Stop()
	}
	c.k.timer = time.AfterFunc(c.timeout, c.k.reset)
	return true
}

func (c *counter) SetTimeout(d time.Duration) (time.Duration, error) {
	c.timeout = d
	return d, nil
}

func (c *counter) Disarm() error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.k.timer != nil {
		c.k.timer.Stop()
	}
	return nil
}

func (c *counter) Info() watchdog.Info {
	is := c.k.is
	is.Timeout = c.timeout
	return is
}

// checked is a driver that starts nothing before the watchdog is armed and an answered
// heartbeat says so.
type checked struct {
	*fakeHost
	k *kennel
}

func (c checked) Start(ctx context.Context, p vmctl.Permit) error {
	tail := c.w.tail() //nolint:contextcheck // it is looked at from outside
	o, err := c.w.store.Get(ctx, record.HeartbeatKey(c.name))
	if err != nil {
		return err
	}
	hb, err := record.OpenHeartbeat(tail.Cluster, c.name, o.Value)
	if err != nil {
		return err
	}
	if c.k.is.Software || hb.Proof == record.ProofElapsed && c.k.armed() {
		return c.fakeHost.Start(ctx, p)
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.fault("%s starts on %s, armed %t, and its heartbeat says %q", p.VM(), c.name, c.k.armed(), hb.Proof)
	return errors.New("not armed")
}

// guardedTwo are a master b without VMs that is not guarded, and a, which runs vm1.
func guardedTwo(w *world, action string, is watchdog.Info, change ...func(*Config)) (k *kennel, a, b *running) {
	w.t.Helper()
	k = w.guarded(w.host("a", false, "vm1"), is)
	w.host("b", true)
	b = w.start("b", nil)
	w.one(b)
	a = k.daemon(nil, append([]func(*Config){k.with(action)}, change...)...)
	w.standby(a)
	w.arm("vm1")
	w.replicated(6, "vm1")
	return k, a, b
}

// daemon starts the guarded host's daemon; memory nil is a new one.
func (k *kennel) daemon(memory *running, change ...func(*Config)) *running {
	k.w.t.Helper()
	var r *running
	if memory != nil {
		r = k.w.start(k.host.name, memory.memory, change...)
	} else {
		r = k.w.start(k.host.name, nil, change...)
	}
	k.mu.Lock()
	k.process = r
	k.mu.Unlock()
	return r
}

// proof is what the ledger says that a's silence proves.
func (w *world) proof() string { return w.tail().State.Members["a"].Proof }

var hardware = watchdog.Info{Path: "/dev/watchdog0", Identity: "a device"}

func (c *counter) FD() int { return -1 }

package sim

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// The kinds of watchdogs that hosts have, the property "guard" of a spec.
const (
	guardDevice   = "device"   // hardware: a silence proves that the host has ended
	guardReboot   = "reboot"   // the same, and nothing is stopped in order before
	guardProcess  = "process"  // no device, and accepted as if there were one
	guardSoftware = "software" // a device that proves nothing
	guardLog      = "log"      // it only tells
)

var guards = []string{guardDevice, guardReboot, guardProcess, guardSoftware, guardLog}

// proves: what rests on time is promised of such a host.
func (s spec) proves() bool {
	return s.self || s.guard == guardDevice || s.guard == guardReboot || s.guard == guardProcess
}

// kennel is a host's watchdog process, the program's own guard over a device that is
// none. It outlives the daemons, and is started anew by whichever asks it; what it was
// armed with does not outlive the boot.
type kennel struct {
	h    *host
	boot int

	mu      sync.Mutex
	guard   *watchdog.Guard
	end     chan struct{} // of the process; closed
	wake    chan struct{} // after a question
	stopped bool          // by a signal
	timer   *time.Timer   // the device's; nil: it does not count
}

// patience is how long a daemon waits for an answer.
const dogPatience = time.Second

var errNoDog = errors.New("no watchdog answers")

// dog is a daemon's way to it, and keeps node.Watchdog.
type dog struct{ p *proc }

func (d dog) ask(f func(*watchdog.Guard) error) (watchdog.State, error) {
	if err := d.p.gate(); err != nil {
		return watchdog.State{}, err
	}
	d.p.step("guard", "", "before")
	k := d.p.h.watch()
	if k == nil {
		return watchdog.State{}, errNoDog
	}
	k.mu.Lock()
	g, stopped := k.guard, k.stopped
	if g == nil {
		k.begin()
	}
	k.mu.Unlock()
	switch {
	case stopped:
		if err := driver(d).spend(outside, dogPatience); err != nil {
			return watchdog.State{}, err
		}
		return watchdog.State{}, errNoDog
	case g == nil:
		return watchdog.State{}, fmt.Errorf("%w: it is being started", errNoDog)
	}
	err := f(g)
	select {
	case k.wake <- struct{}{}:
	default:
	}
	d.p.step("guard", "", "after")
	return g.State(), errors.Join(err, d.p.gate())
}

func (d dog) Extend(deadline, timeout time.Duration, by string) (watchdog.State, error) {
	return d.ask(func(g *watchdog.Guard) error { return g.Extend(deadline, timeout, by) })
}

func (d dog) Disarm() (watchdog.State, error) { return d.ask((*watchdog.Guard).Disarm) }

func (d dog) Acknowledge() (watchdog.State, error) { return d.ask((*watchdog.Guard).Acknowledge) }

func (d dog) State() (watchdog.State, error) {
	return d.ask(func(*watchdog.Guard) error { return nil })
}

// guarded is what a daemon's configuration says of its watchdog.
func (p *proc) guarded(kind string) *node.Guard {
	if kind == "" {
		return nil
	}
	g := &node.Guard{Watchdog: dog{p}, Action: node.FenceStop, Unproved: func(s watchdog.State, most, now time.Duration) string {
		return watchdog.Unproved(s, watchdog.Host{}, most, now)
	}}
	switch kind {
	case guardReboot:
		g.Action = node.FenceReboot
	case guardLog:
		g.Action = node.FenceLog
	case guardProcess:
		g.Unproved = func(s watchdog.State, _, now time.Duration) string { return watchdog.Accepted(s, now) }
	}
	return g
}

// watch is the watchdog of this boot; nil where the power is off.
func (h *host) watch() *kennel {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if !h.on {
		return nil
	}
	if h.kennel == nil || h.kennel.boot != h.boots {
		h.kennel = &kennel{h: h, boot: h.boots, wake: make(chan struct{}, 1)}
	}
	return h.kennel
}

// begin starts the process; the lock is held.
func (k *kennel) begin() {
	o := watchdog.Options{Action: watchdog.ActionReboot, Now: k.h.clock.now, Reset: func() { go k.reset() }}
	switch k.h.spec.guard {
	case guardLog:
		o.Action = watchdog.ActionLog
	case guardProcess:
	default:
		o.Device = func(d time.Duration) (watchdog.Device, error) { return &counter{k: k, timeout: d}, nil }
	}
	g, end := watchdog.New(o), make(chan struct{})
	k.guard, k.end = g, end
	g.Tick()
	go k.turn(g, end)
}

// turn is the process's loop. It turns less often than the real one, but never later
// than at the deadline, and takes no lock: a question may hold one while time goes on.
func (k *kennel) turn(g *watchdog.Guard, end chan struct{}) {
	const often = 250 * time.Millisecond
	for {
		t := time.NewTimer(time.Duration(float64(g.Rest(often)) / k.h.clock.rate))
		select {
		case <-end:
			t.Stop()
			return
		case <-k.wake:
		case <-t.C:
		}
		t.Stop()
		k.mu.Lock()
		idle := k.stopped || k.guard != g
		k.mu.Unlock()
		if !idle {
			g.Tick()
		}
	}
}

// kill ends the process; its device counts on.
func (k *kennel) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.guard != nil {
		close(k.end)
		k.guard = nil
	}
}

// off ends all of it, as a loss of power does.
func (k *kennel) off() {
	k.kill()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
}

// reset ends the host, which boots again, as machines do.
func (k *kennel) reset() {
	h, w := k.h, k.h.w
	w.mu.Lock()
	mine := h.on && h.boots == k.boot
	wanted := h.wanted
	if mine {
		w.decide("%s is ended by its watchdog", h.name)
		w.stats.resets++
		if m := h.memory.opened(h); h.ordered && len(h.runs()) == 0 && m != nil && len(m.Unresolved()) == 0 {
			w.violated("reset", "%s is ended though its daemon has left in order, and nothing runs there", h.name)
		}
	}
	w.mu.Unlock()
	if !mine {
		return
	}
	h.powerOff()
	time.AfterFunc(bootTime, func() {
		h.powerOn()
		w.mu.Lock()
		again := wanted && w.restarts
		w.mu.Unlock()
		if again {
			_ = h.start()
		}
	})
}

// bootTime is how long a host takes to boot.
const bootTime = 5 * time.Second

// counter is the device.
type counter struct {
	k       *kennel
	timeout time.Duration
}

func (c *counter) Pet() bool {
	k := c.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
	}
	k.timer = time.AfterFunc(time.Duration(float64(c.timeout)/k.h.clock.rate), k.reset)
	return true
}

func (c *counter) SetTimeout(d time.Duration) (time.Duration, error) {
	c.timeout = d
	c.Pet()
	return d, nil
}

func (c *counter) Disarm() error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.k.timer != nil {
		c.k.timer.Stop()
		c.k.timer = nil
	}
	return nil
}

func (c *counter) Info() watchdog.Info {
	return watchdog.Info{
		Path: "/dev/watchdog0", Identity: "simulated", Timeout: c.timeout, Software: c.k.h.spec.guard == guardSoftware,
	}
}

// doDog kills a host's watchdog process, or stops it for a while.
func doDog(h *host, args []string) error {
	h.w.mu.Lock()
	k := h.kennel
	h.troubled = h.w.now()
	h.w.mu.Unlock()
	if k == nil {
		return nil
	}
	switch {
	case len(args) == 1 && args[0] == "kill":
		k.kill()
		return nil
	case len(args) == 2 && args[0] == "stop":
		d, err := time.ParseDuration(args[1])
		if err != nil {
			return err
		}
		k.hold(true)
		time.AfterFunc(d, func() { k.hold(false) })
		return nil
	}
	return fmt.Errorf("%q is not understood", args)
}

func (k *kennel) hold(stopped bool) {
	k.mu.Lock()
	k.stopped = stopped
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func checkGuard(kind string) error {
	if !slices.Contains(guards, kind) {
		return fmt.Errorf("unknown guard %q", kind)
	}
	return nil
}

func (c *counter) FD() int { return -1 }

package watchdog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Actions when a deadline has passed.
const (
	ActionReboot = "reboot" // the host is ended
	ActionLog    = "log"    // it is told, and nothing done
)

// ErrPassed: the deadline has passed, and nothing extends or lifts it any more.
var ErrPassed = errors.New("the deadline has passed")

// ErrEnding: the guard was told to end, and takes no deadline any more.
var ErrEnding = errors.New("the watchdog is ending")

// ErrDevice: the device cannot be had, or did not do what it was asked.
var ErrDevice = errors.New("watchdog device")

// Options are what a guard is made of.
type Options struct {
	// Device opens the device, which arms it; nil: there is none. timeout is the
	// longest that it may let pass after the last pet. One that comes with an error is
	// petted for ever.
	Device func(timeout time.Duration) (Device, error)
	// Resume takes over the device that the program before had open in this process; nil
	// is that nobody can pet it.
	Resume func(fd int, was Info) Device
	Action string
	// Reset ends the host. It is called by the loops, again at each tick while it
	// returns, also by two at once, and must not allocate.
	Reset func()
	Now   func() time.Duration
	// Version is this program's, and Able says why this process could not end the host,
	// "" if it can: both are told to whoever asks.
	Version, Able string
	// Explain is where it is told that a reset comes; the zero value tells nobody.
	Explain Explain
}

// The values of guard.deadline that are no times.
const (
	unarmed = int64(0)
	passed  = int64(-1)
)

// Guard watches one deadline.
type Guard struct {
	opts Options

	deadline atomic.Int64 // of the boot-time clock, unarmed or passed
	device   atomic.Pointer[petted]
	petFails atomic.Int64 // in a row
	last     atomic.Int64 // tick's beginning, of the boot-time clock
	turning  atomic.Bool  // a tick is under way
	handed   atomic.Pointer[handing]
	report   atomic.Pointer[Report]

	mu     sync.Mutex // of the calls below; the loop takes none
	by     string     // who handed the deadline
	ending bool

	replaced int                                          // programs of this process before
	replace  func(path string, until time.Duration) error // by another program; nil: it cannot be
}

// petted is an open device, and whether it is petted without a deadline too: one that
// cannot be disarmed.
type petted struct {
	Device
	info   Info
	always atomic.Bool
	wrong  error // why it will not do
}

// New makes a guard that is not armed.
func New(o Options) *Guard { return &Guard{opts: o} }

// Tick is one turn of the loop: it judges and pets. It allocates nothing, and does no I/O
// but the device's and the reset.
func (g *Guard) Tick() {
	g.turning.Store(true)
	defer g.turning.Store(false)
	g.last.Store(int64(g.opts.Now()))
	d := g.Judge()
	p := g.device.Load()
	if d == passed || p == nil || (d == unarmed && !p.always.Load()) {
		return
	}
	if p.Pet() {
		g.petFails.Store(0)
	} else {
		g.petFails.Add(1)
	}
}

// Rest is how long the loop may sleep until its next turn: most, or less where the
// deadline comes before. It takes no lock.
func (g *Guard) Rest(most time.Duration) time.Duration {
	const least = time.Millisecond
	d := g.deadline.Load()
	if d <= 0 {
		return most
	}
	return min(most, max(time.Duration(d)-g.opts.Now(), least))
}

// Judge looks at the deadline alone, and resets the host if it has passed: a second
// thread does that, for a device that does not answer a pet.
func (g *Guard) Judge() (deadline int64) {
	now := g.opts.Now()
	d := g.deadline.Load()
	if d > 0 && int64(now) >= d {
		if g.deadline.CompareAndSwap(d, passed) {
			d = passed
		} else {
			d = g.deadline.Load() // extended at this very moment
		}
	}
	if d == passed && g.opts.Action == ActionReboot {
		g.opts.Reset()
	}
	return d
}

// Extend hands a deadline: the first one arms. It must lie ahead, and a later one is
// taken only while the one before has not passed. timeout bounds the device's; 0: none is
// opened. An earlier deadline than the one before is taken too.
func (g *Guard) Extend(deadline, timeout time.Duration, by string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.extend(deadline, timeout, by)
}

func (g *Guard) extend(deadline, timeout time.Duration, by string) error {
	if g.ending {
		return ErrEnding
	}
	old, err := g.extendable(deadline)
	if err != nil {
		return err
	}
	if err := g.open(timeout); err != nil {
		return err
	}
	// The device may have taken its time.
	if _, err := g.extendable(deadline); err != nil {
		if old == unarmed {
			err = errors.Join(err, g.release())
		}
		return err
	}
	if !g.deadline.CompareAndSwap(old, int64(deadline)) {
		return ErrPassed
	}
	g.by = by
	g.handed.Store(&handing{by: by, at: g.opts.Now(), deadline: deadline})
	return nil
}

// extendable gives the deadline in force if another may follow it now.
func (g *Guard) extendable(next time.Duration) (old int64, err error) {
	now := g.opts.Now()
	old = g.deadline.Load()
	switch {
	case old == passed || (old > 0 && int64(now) >= old):
		return old, ErrPassed
	case next <= now:
		return old, fmt.Errorf("a deadline of %s: it has passed already, now is %s", next, now)
	}
	return old, nil
}

// open arms the device, with a timeout that is short enough. Where nothing is to be done
// at the deadline there is none: it would do something.
func (g *Guard) open(timeout time.Duration) error {
	p := g.device.Load()
	if g.opts.Device == nil || g.opts.Action == ActionLog || timeout <= 0 || (p != nil && p.wrong == nil && p.info.Timeout > 0 && p.info.Timeout <= timeout) {
		return nil
	}
	if p != nil && p.wrong != nil {
		return p.wrong
	}
	if p != nil {
		// Whoever renews is not to be ended because its device does not answer this:
		// what is not known to be set proves nothing.
		set, err := p.SetTimeout(timeout)
		if err != nil {
			set = 0
		}
		next := &petted{Device: p.Device, info: p.info}
		next.info.Timeout = set
		next.always.Store(p.always.Load())
		g.device.Store(next)
		return nil
	}
	d, err := g.opts.Device(timeout)
	if d != nil {
		p = &petted{Device: d, info: d.Info(), wrong: err}
		p.always.Store(err != nil)
		g.petFails.Store(0)
		g.device.Store(p)
	}
	return err
}

// end says whether the guard may be left, and takes no deadline from then on: none is in
// force, and no device has to be petted.
func (g *Guard) end() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.deadline.Load()
	g.ending = (d == unarmed || (d == passed && g.opts.Action == ActionLog)) && g.device.Load() == nil
	return g.ending
}

// Disarm lifts the deadline: all that it guards was verified stopped, or may run on by
// an entry of the ledger. ErrPassed: it is too late. A device that cannot be disarmed
// goes on being petted.
func (g *Guard) Disarm() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.disarm()
}

func (g *Guard) disarm() error {
	old := g.deadline.Load()
	if old == unarmed {
		return nil
	}
	if old == passed || int64(g.opts.Now()) >= old || !g.deadline.CompareAndSwap(old, unarmed) {
		return ErrPassed
	}
	g.by = ""
	return g.release()
}

// release disarms the device and lets it go.
func (g *Guard) release() error {
	p := g.device.Load()
	if p == nil {
		return nil
	}
	// From here on the loop leaves it alone, unless it has to be petted for ever.
	if p.info.NoWayOut {
		p.always.Store(true)
		return nil
	}
	g.device.Store(nil)
	err := g.settled()
	if err == nil {
		err = p.Disarm()
	}
	if err != nil {
		// It counts on: without pets it would end the host.
		p.always.Store(true)
		g.device.Store(p)
	}
	return err
}

// settled waits until the loop does not hold the device any more that it was shown.
func (g *Guard) settled() error {
	const patience, step = 1000, time.Millisecond
	for range patience {
		if !g.turning.Load() {
			return nil
		}
		nap(step) // on the kernel's clock, as the loop is, whatever clock the callers have
	}
	return fmt.Errorf("%w: it has not answered a pet for %s", ErrDevice, patience*step)
}

// Acknowledge ends a deadline that has passed under ActionLog, once all is verified
// stopped: another may be handed.
func (g *Guard) Acknowledge() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.acknowledge()
}

func (g *Guard) acknowledge() error {
	if g.opts.Action != ActionLog {
		return ErrPassed
	}
	g.deadline.CompareAndSwap(passed, unarmed)
	return nil
}

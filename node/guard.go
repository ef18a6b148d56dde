package node

import (
	"context"
	"errors"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// Watchdog ends this host when the deadline that was handed to it last has passed,
// whatever becomes of this process. *watchdog.Keeper is one.
type Watchdog interface {
	// Extend hands a deadline of the boot-time clock; the first one arms. timeout bounds
	// the device's. watchdog.ErrPassed: it is too late.
	Extend(deadline, timeout time.Duration, by string) (watchdog.State, error)
	Disarm() (watchdog.State, error)
	// Acknowledge ends a deadline that passed without anything done.
	Acknowledge() (watchdog.State, error)
	State() (watchdog.State, error)
}

// Guard is how a watchdog guards a node.
type Guard struct {
	Watchdog
	// Unproved says why the state that the watchdog answered does not prove that this
	// host has ended when its deadline has passed, "" if it does, or is accepted as such;
	// most is what the timings leave to its device, now is of the boot-time clock.
	Unproved func(s watchdog.State, most, now time.Duration) string
	Action   string // FenceStop, FenceReboot or FenceLog
}

// What is done at a deadline that passes.
const (
	FenceStop   = "stop-then-reboot" // VMs stop in order before it
	FenceReboot = "reboot"           // at once, when the lease ends
	FenceLog    = "log"              // it is told, and nothing done
)

// guard is the watchdog as the host's loops know it. Its fields are under host.mu; it is
// called under host.handing and never under host.mu: an answer may take its time.
type guard struct {
	Guard
	unproved string        // why its state proves nothing
	again    time.Duration // when to arm it again after it proved nothing; 0: never yet
	open     bool          // whether it was armed is not known
	failed   time.Duration // since when it has not answered; 0: it does
	problem  string        // why it does not
}

// retryAfter is when a watchdog that proved nothing is tried again.
const retryAfter = time.Minute

// newGuard gives the guard of a host, or one that only rehearses.
func newGuard(g *Guard) (real, rehearsal *guard) {
	switch {
	case g == nil:
		return nil, nil
	case g.Action == FenceLog:
		return nil, &guard{Guard: *g}
	}
	return &guard{Guard: *g}, nil
}

// atOnce: nothing is stopped in order before the deadline.
func (g *guard) atOnce() bool { return g != nil && g.Action == FenceReboot }

// extend hands the watchdog a deadline; false: the one before is in force. handing is
// held.
func (h *host) extend(next time.Duration, bound bool, hb *record.Heartbeat) bool {
	s, err := h.dog.Extend(next, hb.Timings.Watchdog, hb.Incarnation)
	now := h.n.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told(s, err)
	switch {
	case errors.Is(err, watchdog.ErrPassed):
		h.stopping = true
		h.weaken(h.dog.Unproved(s, hb.Timings.Watchdog, now))
		kick(h.n.kickHost)
		return false
	case err != nil && bound:
		return false
	case err != nil && s.Action == "":
		h.dog.open = true // it may be armed all the same
		return false
	case err != nil:
		h.weaken(err.Error())
		h.dog.again = now + retryAfter
		return false
	}
	h.weaken(h.dog.Unproved(s, hb.Timings.Watchdog, now))
	h.dog.again = 0
	return true
}

// recall finds out whether a watchdog was armed whose answer did not come, and obeys the
// deadline if so; false: it is not known yet. handing is held.
func (h *host) recall() (known bool) {
	h.mu.Lock()
	open := h.dog != nil && h.dog.open && !h.bound()
	h.mu.Unlock()
	if !open {
		return true
	}
	s, err := h.dog.State()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told(s, err)
	switch t := h.n.timings(); {
	case err == nil:
		h.dog.open = false
		h.adopt(s)
	case h.n.now()-h.dog.failed >= h.patience(t): // it is not just being started
		h.weaken(h.dog.problem)
	}
	return err == nil
}

// adopt takes over what a watchdog is armed with. The lock is held.
func (h *host) adopt(s watchdog.State) {
	t := h.n.timings()
	switch {
	case s.Passed:
		h.deadline, h.lowered, h.stopping = 1, false, true
	case s.Armed && (h.self == nil || h.deadline == 0 || h.lowered || s.Deadline < h.deadline):
		h.deadline, h.lowered = s.Deadline, false
		h.due = s.Deadline - h.span(t) + t.Renew
	default:
		return
	}
	h.weaken(h.dog.Unproved(s, t.Watchdog, h.n.now()))
}

// release disarms a watchdog over VMs that run on: nobody may take them without this
// node's word. handing is held.
func (h *host) release() (released bool) {
	s, err := h.dog.Disarm()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told(s, err)
	if err != nil {
		h.log.Error().Err(err).Msg("the watchdog cannot be disarmed")
		return false
	}
	if h.dog.unproved != "" {
		h.dog.again = h.n.now() + retryAfter
	}
	return true
}

// weaken notes why the watchdog proves nothing, "" if it does. The lock is held.
func (h *host) weaken(why string) {
	if why != h.dog.unproved {
		h.log.Info().Str("unproved", why).Msg("what this node's silence proves has changed")
	}
	h.dog.unproved = why
}

// told notes whether the watchdog answers. The lock is held.
func (h *host) told(s watchdog.State, err error) {
	switch {
	case err == nil, errors.Is(err, watchdog.ErrPassed):
		h.dog.failed, h.dog.problem = 0, ""
		return
	case h.dog.failed == 0:
		h.dog.failed = h.n.now()
	}
	h.dog.problem = "the watchdog does not answer: " + err.Error()
	if s.Action != "" {
		h.dog.problem = "the watchdog refuses: " + err.Error()
	}
}

// patience is how long a watchdog may not answer: it is restarted meanwhile.
func (h *host) patience(t record.Timings) time.Duration { return max(3*t.Interval, t.Renew/2) }

// inherit takes over the deadline that an earlier incarnation has handed.
func (h *host) inherit(ctx context.Context) error {
	if h.dog == nil {
		return nil
	}
	var s watchdog.State
	var err error
	for range 20 { // it may have to be started
		if s, err = h.dog.State(); err == nil {
			break
		}
		if perr := Pause(ctx, h.n.cfg.Timings.Interval/2); perr != nil {
			return perr
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told(s, err)
	if err != nil {
		h.dog.open = true
		h.log.Error().Err(err).Msg("the watchdog does not answer")
		return nil
	}
	h.adopt(s)
	return nil
}

// whyUnproved says for people why this node's silence proves nothing.
func (h *host) whyUnproved() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.dog != nil:
		return h.dog.unproved
	case h.self != nil:
		return ""
	}
	return h.n.cfg.WhyUnproved
}

// alarms are what an operator should know of the watchdog.
func (h *host) alarms() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	if h.dog != nil && h.dog.problem != "" {
		all = append(all, h.dog.problem)
	}
	if h.stopping && h.why != "" {
		all = append(all, h.why)
	}
	return all
}

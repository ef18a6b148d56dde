package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/local"
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

// rehearse hands deadlines to a watchdog that does nothing when one passes, and says what
// another would have done.
func (h *host) rehearse(dated time.Duration, hb *record.Heartbeat) {
	s := h.n.state()
	if h.rehearsal == nil {
		return
	}
	var err error
	switch {
	case s.Frozen || s.Debug || !s.Armed || h.leaving():
		_, err = h.rehearsal.Disarm()
	case s.Members[h.n.cfg.Name].Admitted == hb.Incarnation:
		_, err = h.rehearsal.Extend(dated+hb.Timings.Stopped(), 0, hb.Incarnation)
	}
	switch {
	case errors.Is(err, watchdog.ErrPassed):
		h.log.Warn().Msg("a deadline has passed: but for --fence-action log this host would have been ended")
		if _, err := h.rehearsal.Acknowledge(); err != nil {
			h.log.Warn().Err(err).Msg("the watchdog does not answer")
		}
	case err != nil:
		h.log.Warn().Err(err).Msg("the watchdog does not answer")
	}
}

// leaving: this node was told to end.
func (h *host) leaving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.order != ""
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

// unguarded says why the lease is to be treated as lost though it is held, "" if it is
// not: the watchdog has not answered for too long, or the deadline in force is about to
// pass. What is in doubt is no loss of the lease, and its VMs have to stop in time all
// the same.
func (h *host) unguarded() string {
	if h.dog == nil {
		return ""
	}
	h.handing <- struct{}{}
	h.recall()
	<-h.handing
	now, t := h.n.now(), h.n.timings()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.bound() || h.stopping:
		return ""
	case h.self == nil && h.dog.failed != 0 && now-h.dog.failed > h.patience(t):
		h.weaken(h.dog.problem)
		return h.dog.problem
	case now >= h.due:
		return fmt.Sprintf("no deadline was handed to the watchdog for %s", t.Renew)
	}
	return ""
}

// leeway is how long a beat may take before what runs here has to begin to stop; false
// where nothing has to. A daemon that has just started may find that the time is over, and
// renews first.
func (h *host) leeway(now time.Duration) (left time.Duration, bound bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dog == nil || !h.bound() || h.stopping {
		return 0, false
	}
	return h.due - now, true
}

// lift disarms the watchdog once all is verified stopped; false: it is armed yet.
// Nothing starts meanwhile.
func (h *host) lift() bool {
	if h.dog == nil {
		return true
	}
	h.handing <- struct{}{}
	defer func() { <-h.handing }()
	s, err := h.dog.Disarm()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told(s, err)
	if err != nil {
		h.log.Error().Err(err).Msg("all VMs are verified stopped, and the watchdog is not disarmed")
		return false
	}
	h.stopped() // a command that stops what has stopped would stop what starts next
	if h.self == nil {
		h.deadline, h.lowered = 0, false
	}
	return true
}

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

// inTime bounds a start by the deadline that an earlier process has left armed, if one has:
// there has to be time left to stop its VMs.
func (h *host) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if h.dog == nil {
		return ctx, func() {}
	}
	s, err := h.dog.State()
	if err != nil || !s.Armed {
		return ctx, func() {}
	}
	left := s.Deadline - h.n.timings().Kill - h.n.now()
	return context.WithTimeoutCause(ctx, max(left, 0), errors.New("the deadline that an earlier process has left is near"))
}

// unstarted minds what an earlier process has left armed, when this one cannot start. A
// next one may be in time; where there is none, or it could not stop the VMs in order any
// more, that is done now.
func (h *host) unstarted(ctx context.Context, why error, ended bool) {
	if h.dog == nil {
		return
	}
	s, err := h.dog.State()
	if err != nil || !s.Armed {
		return
	}
	t := h.n.timings()
	if !ended && h.n.now() < s.Deadline-t.StopGrace-t.Kill {
		h.log.Warn().Dur("left", s.Deadline-h.n.now()).Msg("an earlier process has left a deadline: this host ends unless one starts in time")
		return
	}
	h.mu.Lock()
	h.deadline, h.lowered = s.Deadline, false
	h.mu.Unlock()
	if h.query(ctx) {
		h.abandon(ctx, why)
	}
}

// abandon stops all VMs of a node that cannot go on, where the watchdog would end this
// host with them, and disarms it once that is verified.
func (h *host) abandon(ctx context.Context, why error) {
	if h.dog == nil || !h.binds() {
		return
	}
	h.stopAll(ctx, why.Error())
	for {
		h.mu.Lock()
		over := !h.stopping || h.n.now() >= h.deadline
		h.mu.Unlock()
		if over {
			break
		}
		<-h.soon()
		if h.query(ctx) {
			h.verifyStopped(ctx)
		}
	}
	h.ops.Wait()
}

// explain says why this host is about to stop all that it runs, or to be ended, before it
// does: in the log, and in local memory, which a later process of it reads. The lock is
// held.
func (h *host) explain(why string) {
	h.log.Warn().Dur("left", h.deadline-h.n.now()).Msgf("all VMs are stopped by the deadline in force: %s", why)
	if h.dog == nil {
		return
	}
	h.why = why + ": all VMs are being stopped, or this host is ended"
	l := &local.Lost{Why: why, Wall: h.n.cfg.Clock.Wall()}
	h.ops.Go(func() {
		if err := h.n.cfg.Memory.SetLost(l); err != nil {
			h.log.Error().Err(err).Msg("why the VMs are stopped was not written down")
		}
	})
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

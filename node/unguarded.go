package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/local"
)

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
	if h.self == nil {
		h.deadline, h.lowered = 0, false
	}
	return true
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

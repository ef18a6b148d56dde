package node

import (
	"context"
	"errors"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// declares is what this node's silence proves as things stand: elapsed only where a
// deadline was handed to VMs that stop themselves, or to a watchdog that was verified to
// end this host.
func (h *host) declares() string {
	tail := h.n.ledger.Tail()
	if tail.Entry == nil {
		return record.ProofNothing
	}
	s := tail.State
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Frozen || s.Debug || h.order == record.LeaveFreeze || !h.bound() ||
		(h.self == nil && (h.dog.unproved != "" || !s.Armed || h.unneeded(s))) {
		return record.ProofNothing
	}
	return record.ProofElapsed
}

// bound says whether what runs here has a deadline. The lock is held.
func (h *host) bound() bool { return h.deadline != 0 && !h.lowered }

// span is how long after a renewal was dated all has to have stopped: after a while in
// which VMs stop in order, or at once.
func (h *host) span(t record.Timings) time.Duration {
	if h.dog.atOnce() {
		return t.Renew
	}
	return t.Stopped()
}

// renewed hands the next deadline after an answered heartbeat, unless the one in force
// has passed or the lease was lost: then nothing is kept alive before all was seen
// stopped. Where the history is in doubt (not counted) and all who could judge share the
// store, VMs run on: others judge by the heartbeat alone.
func (h *host) renewed(dated time.Duration, hb *record.Heartbeat, counted bool) {
	h.handing <- struct{}{}
	defer func() { <-h.handing }()
	if !h.recall() && h.self == nil {
		return
	}
	h.mu.Lock()
	next, lower, change := h.next(dated, hb, counted)
	bound := h.bound()
	if h.stopping {
		kick(h.n.kickHost)
	}
	h.mu.Unlock()
	if change {
		h.handOver(next, lower, bound, hb)
	}
}

// next gives the deadline that follows, and whether there is to be none any more. The
// lock is held.
func (h *host) next(dated time.Duration, hb *record.Heartbeat, counted bool) (next time.Duration, lower, change bool) {
	if h.self == nil && h.dog == nil {
		return 0, false, false
	}
	now, s := h.n.now(), h.n.state()
	me := s.Members[h.n.cfg.Name]
	passed := h.bound() && now >= h.deadline
	switch {
	case h.stopping:
		return 0, false, false
	case me.Fence != nil && me.Fence.Proof != "":
		// Nothing lives here before this node is admitted again.
		h.stopping = h.dog != nil && h.bound()
		return 0, false, false
	case h.lowered && !counted:
		return 0, false, false // in doubt, nothing changes
	case passed && (h.stills < 2 || h.unresolved() > 0):
		// It passed unnoticed, in a pause: the VMs have stopped themselves, and are
		// seen to have before new ones may live.
		h.stopping = true
		return 0, false, false
	case passed && me.Admitted != hb.Incarnation:
		// One that has passed is followed by a new one only once the ledger admits
		// this incarnation: what an earlier process left under way may come up yet.
		return 0, false, false
	}
	runsOn := s.Frozen || s.Debug || h.order == record.LeaveFreeze
	if h.self == nil {
		// Where the cluster is not armed nothing could start again that was stopped.
		runsOn = runsOn || h.dog.unproved != "" || !s.Armed || h.unneeded(s)
		if !h.bound() && (!counted || me.Admitted != hb.Incarnation || now < h.dog.again || h.unneeded(s) ||
			s.Frozen || s.Debug || !s.Armed || h.quitting) {
			return 0, false, false // a watchdog is armed at admission, where VMs may run
		}
	}
	// The ledger says that silence proves nothing here, as it was read, and an answered
	// heartbeat does: the VMs run on.
	lower = counted && !h.n.ledger.Made() && hb.Proof == record.ProofNothing && me.Proof != record.ProofElapsed && runsOn && (h.self != nil || h.bound())
	next = dated + h.span(hb.Timings)
	switch {
	case lower && h.lowered, !lower && next <= h.deadline && !h.lowered:
		return 0, false, false
	case lower:
		return vmctl.NoDeadline, true, true
	}
	return next, false, true
}

// handOver hands a deadline, or lifts it; handing is held.
func (h *host) handOver(next time.Duration, lower, bound bool, hb *record.Heartbeat) {
	if h.self != nil {
		if err := h.self.HandDeadline(next); err != nil {
			h.log.Error().Err(err).Msg("the VMs' deadline cannot be handed over: they stop at the one before")
			return
		}
	}
	switch {
	case h.dog == nil:
	case lower && !h.release():
		return
	case !lower && !h.extend(next, bound, hb) && (h.self == nil || bound):
		return // VMs that stop themselves prove it without a watchdog, too
	}
	h.mu.Lock()
	useless := h.self == nil && !lower && !bound && h.dog.unproved != ""
	h.mu.Unlock()
	// It was armed to see what it proves. Where it cannot be disarmed the deadline is in
	// force, and obeyed.
	if useless && h.release() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline, h.lowered, h.due = next, lower, next-h.span(hb.Timings)+hb.Timings.Renew
	if lower && h.self == nil {
		h.deadline, h.lowered = 0, false // a watchdog that is not armed has none
	}
}

// shorten hands over a nearer deadline before a heartbeat is sent that advertises shorter
// timings: others judge by these as soon as they can read it.
func (h *host) shorten(dated time.Duration, hb *record.Heartbeat) error {
	h.handing <- struct{}{}
	defer func() { <-h.handing }()
	h.mu.Lock()
	next := dated + h.span(hb.Timings)
	needed := h.bound() && h.deadline > next
	h.mu.Unlock()
	if !needed {
		return nil
	}
	if h.self != nil {
		if err := h.self.HandDeadline(next); err != nil {
			return err
		}
	}
	if h.dog != nil {
		if _, err := h.dog.Extend(next, hb.Timings.Watchdog, hb.Incarnation); err != nil && !errors.Is(err, watchdog.ErrPassed) {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline, h.due = next, dated+hb.Timings.Renew
	return nil
}

// unresolved counts the starts that have not certainly ended, but for those of
// an earlier process: what these still do meets the deadline that has passed, and
// as long as they stand this node is never verified stopped. The lock is held.
func (h *host) unresolved() int {
	count := 0
	for vm := range h.n.cfg.Memory.Unresolved() {
		if !h.orphans[vm] {
			count++
		}
	}
	return count
}

// leaseLost shuts the gate. Where a deadline was handed, all is stopped: gracefully for
// S, then killed within K. Elsewhere the VMs run on: nobody may take them without this
// node's word or another's.
func (h *host) leaseLost(ctx context.Context, why string) {
	if h.n.cfg.Driver == nil {
		return
	}
	doubt := h.n.getView().doubt()
	h.mu.Lock()
	h.acks = map[string]record.Ack{}
	idle := !h.bound() || h.n.state().Debug || doubt != ""
	h.mu.Unlock()
	if !idle {
		h.stopAll(ctx, why)
	}
}

// stopAll begins to stop all VMs, so that it is done at the deadline in force.
func (h *host) stopAll(ctx context.Context, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopping && h.why != "" {
		return // under way
	}
	h.stopping, h.stills = true, 0
	h.explain(why)
	ctx, h.stopped = context.WithCancel(context.WithoutCancel(ctx))
	kick(h.n.kickHost)
	t := h.n.timings()
	kill, end := h.deadline-t.Kill, h.deadline
	if h.dog.atOnce() {
		kill = end
	}
	for _, vm := range h.vms {
		if vm.State == record.VMStopped || !h.ours(vm.Name) {
			continue
		}
		h.ops.Go(func() { h.stopBy(ctx, vm.Name, kill, end) })
	}
}

// unneeded: no HA VM may run here, so nothing has to end this host: a worker that owns
// none. The lock is held.
func (h *host) unneeded(s ledger.State) bool {
	if s.Members[h.n.cfg.Name].Role != ledger.RoleWorker {
		return false
	}
	for _, v := range s.VMs {
		if v.Owner == h.n.cfg.Name {
			return false
		}
	}
	return h.stills >= 2
}

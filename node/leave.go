package node

import (
	"context"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// leave ends this node's part in order: what becomes of its VMs stands in the
// ledger first, then it is done, then the mastership is given up, and the last
// heartbeat says that the silence after it is no surprise.
func (n *Node) leave(ctx context.Context) {
	t := n.timings()
	// Two stop graces for VMs that stop slowly, and a takeover in between.
	ctx, cancel := context.WithTimeout(ctx, 2*t.Timeout+20*time.Second)
	defer cancel()
	n.log.Info().Msg("leaving")
	n.host.quit()
	if n.cfg.Driver != nil {
		n.leaveVMs(ctx, t.Timeout)
	}
	n.until(ctx, t.Timeout, n.ledger.Settled)
	n.mu.Lock()
	n.ending = true
	n.mu.Unlock()
	if epoch, ok := n.mastership(); ok {
		n.mu.Lock()
		n.released = epoch
		n.mu.Unlock()
	}
	defer func() { n.host.lay(ctx) }()
	kick(n.kickBeat)
	if n.ledger.Tail().State.Closed {
		n.log.Info().Msg("left") // no heartbeat counts in a store that the cluster has moved from
		return
	}
	if !n.until(ctx, t.Renew, func() bool { own := n.getView().own; return own != nil && own.Ending }) {
		n.log.Warn().Msg("the last heartbeat was not answered: the others wait for the takeover timeout")
	}
	n.log.Info().Msg("left")
}

// leaveVMs does with this host's VMs what Config.OnStop says.
func (n *Node) leaveVMs(ctx context.Context, patience time.Duration) {
	incarnation, order := n.getHolder().Incarnation(), n.cfg.OnStop
	if order == record.LeaveFreeze && n.cfg.GoingDown != nil && n.cfg.GoingDown() {
		n.log.Info().Msg("this host is going down: its VMs are moved")
		order = record.LeaveMove
	}
	left := func() string {
		if m, ok := n.member(); ok && m.LeftBy == incarnation {
			return m.Left
		}
		return ""
	}
	if m, ok := n.member(); ok && m.Admitted == incarnation {
		r := &record.Request{
			Cluster: n.cluster, ID: record.NewID(), Action: record.ActLeave, Node: n.cfg.Name,
			Incarnation: incarnation, Leave: order, By: "node " + n.cfg.Name, Time: n.cfg.Clock.Wall(),
		}
		actx, cancel := context.WithTimeout(ctx, n.timings().Renew)
		if err := n.ask(actx, r); err != nil {
			n.log.Warn().Err(err).Msg("the request to leave was not answered")
		}
		cancel()
		kick(n.kickDecide)
		n.until(ctx, patience, func() bool {
			_, held := n.Lease()
			return left() != "" || n.refused(r.ID) || !held
		})
	}
	switch left() {
	case record.LeaveFreeze:
		n.host.setOrder(record.LeaveFreeze)
		if n.until(ctx, patience, n.host.letGo) {
			n.log.Info().Msg("the VMs run on, unmanaged, as the ledger says")
			return
		}
		n.log.Error().Msg("the VMs could not be told to run on: they are stopped")
		n.host.setOrder(record.LeaveStop)
		n.until(ctx, patience+20*time.Second, n.host.idle)
	case record.LeaveStop:
		n.host.setOrder(record.LeaveStop)
		if !n.until(ctx, patience+20*time.Second, n.host.idle) {
			n.log.Error().Msg("not all VMs are verified stopped")
		}
	case record.LeaveMove:
		n.host.setOrder(record.LeaveMove)
		if !n.until(ctx, patience+20*time.Second, func() bool { return n.moved() }) {
			n.log.Error().Msg("not all VMs have moved")
		}
	default:
		n.leaveUnrecorded(ctx, patience)
	}
}

// leaveUnrecorded: no entry could be had. Where silence proves that all has
// stopped, all is stopped; elsewhere nobody may take the VMs, and they run on.
func (n *Node) leaveUnrecorded(ctx context.Context, patience time.Duration) {
	if !n.host.binds() {
		n.log.Warn().Msg("no entry says that this node leaves; its silence proves nothing, so its VMs run on")
		return
	}
	n.host.setOrder(record.LeaveStop)
	if n.until(ctx, patience+20*time.Second, n.host.idle) {
		n.log.Warn().Msg("no entry says that this node leaves: its VMs were stopped, verified")
	} else {
		n.log.Error().Msg("no entry says that this node leaves, and its VMs are not verified stopped")
	}
}

func (n *Node) refused(id string) bool {
	a, ok := n.ledger.Tail().State.Answers[id]
	return ok && !a.OK
}

// moved: every VM was acknowledged, and if this node is master it has placed
// all that can be placed.
func (n *Node) moved() bool {
	s := n.ledger.Tail().State
	f, ok := s.Failovers[n.cfg.Name]
	if !ok {
		return n.host.idle()
	}
	if !n.host.ackedAll(f) {
		return false
	}
	if _, master := n.mastership(); master {
		for _, mv := range f.Moves {
			if mv.Phase == ledger.MoveWaiting && mv.Problem == "" {
				return false
			}
		}
	}
	return true
}

// letGo: the VMs have no deadline any more, or never had one.
func (h *host) letGo() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return (h.self == nil && !h.bound()) || h.lowered
}

// quit arms nothing any more, and starts nothing. What is being armed just now is.
func (h *host) quit() {
	h.handing <- struct{}{}
	defer func() { <-h.handing }()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.quitting = true
}

// binds: the VMs have a deadline.
func (h *host) binds() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bound()
}

// lay disarms the watchdog of a node that has left, if nothing runs here any more. One
// that guards what runs yet ends this host.
func (h *host) lay(ctx context.Context) {
	h.mu.Lock()
	armed, left := h.dog != nil && h.bound(), h.deadline-h.n.now()
	h.mu.Unlock()
	if !armed {
		return
	}
	// A lease that was lost at last may have begun to stop what was stopped already.
	stopped := h.n.until(ctx, left, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return !h.bound() || h.stills >= 2 && len(h.busy) == 0 && h.unresolved() == 0 && len(h.orphans) == 0
	})
	if stopped && h.lift() {
		h.log.Info().Msg("nothing runs here: the watchdog is disarmed")
		return
	}
	h.log.Error().Dur("left", left).Msg("not all VMs are verified stopped: the watchdog ends this host")
}

// until waits for a condition that a beat or the host's loop brings about.
func (n *Node) until(ctx context.Context, patience time.Duration, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(max(n.timings().Interval/10, 5*time.Millisecond))
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return done()
		}
	}
	return true
}

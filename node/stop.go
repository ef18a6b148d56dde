package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// declares is what this node's silence proves as things stand: elapsed only
// where the VMs stop themselves at a deadline that was handed to them.
func (h *host) declares() string {
	tail := h.n.ledger.Tail()
	if h.self == nil || tail.Entry == nil {
		return record.ProofNothing
	}
	s := tail.State
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Frozen || s.Debug || h.order == record.LeaveFreeze || h.lowered || h.deadline == 0 {
		return record.ProofNothing
	}
	return record.ProofElapsed
}

// renewed hands the VMs their next deadline after an answered heartbeat, unless
// the one in force has passed or the lease was lost: then nothing is kept alive
// before all was seen stopped. Where the history is in doubt (not counted) and all
// who could judge share the store, VMs run on: others judge by the heartbeat alone.
func (h *host) renewed(dated time.Duration, hb *record.Heartbeat, counted bool) {
	if h.self == nil {
		return
	}
	now := h.n.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.n.ledger.Tail().State
	me := s.Members[h.n.cfg.Name]
	switch {
	case h.stopping:
		return
	case me.Fence != nil && me.Fence.Proof != "":
		return // nothing lives here before this node is admitted again
	case h.lowered && !counted:
		return // in doubt, nothing changes
	case h.deadline != 0 && !h.lowered && now >= h.deadline && (h.stills < 2 || h.unresolved() > 0):
		// It passed unnoticed, in a pause: the VMs have stopped themselves, and are
		// seen to have before new ones may live.
		h.stopping = true
		return
	case h.deadline != 0 && !h.lowered && now >= h.deadline && me.Admitted != hb.Incarnation:
		// One that has passed is followed by a new one only once the ledger admits
		// this incarnation: what an earlier process left under way may come up yet.
		return
	}
	next, lower := dated+hb.Timings.Stopped(), false
	if counted && hb.Proof == record.ProofNothing && me.Proof != record.ProofElapsed &&
		(s.Frozen || s.Debug || h.order == record.LeaveFreeze) {
		// The ledger says that silence proves nothing here, and an answered
		// heartbeat does: the VMs run on.
		next, lower = vmctl.NoDeadline, true
	}
	if !lower && next <= h.deadline && !h.lowered {
		return
	}
	if lower && h.lowered {
		return
	}
	if err := h.self.HandDeadline(next); err != nil {
		h.log.Error().Err(err).Msg("the VMs' deadline cannot be handed over: they stop at the one before")
		return
	}
	h.deadline, h.lowered = next, lower
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

// shorten hands the VMs a nearer deadline before a heartbeat is sent that
// advertises shorter timings: others judge by these as soon as they can read it.
func (h *host) shorten(dated time.Duration, hb *record.Heartbeat) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := dated + hb.Timings.Stopped()
	if h.self == nil || h.lowered || h.deadline <= next {
		return nil
	}
	if err := h.self.HandDeadline(next); err != nil {
		return err
	}
	h.deadline = next
	return nil
}

// leaseLost shuts the gate. Where this node's silence proves that all has
// stopped, all is stopped: gracefully for S, then killed within K. Elsewhere
// the VMs run on: nobody may take them without this node's word or another's.
func (h *host) leaseLost(ctx context.Context) {
	if h.n.cfg.Driver == nil {
		return
	}
	s, doubt := h.n.ledger.Tail().State, h.n.getView().doubt()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acks = map[string]record.Ack{}
	if h.self == nil || h.lowered || h.deadline == 0 || s.Debug || doubt != "" {
		return
	}
	h.stopping, h.stills = true, 0
	t := s.Timings
	kill := h.deadline - t.Kill
	for _, vm := range h.vms {
		if vm.State == record.VMStopped || !h.ours(vm.Name) {
			continue
		}
		end := h.deadline
		h.ops.Go(func() { h.stopBy(context.WithoutCancel(ctx), vm.Name, kill, end) })
	}
}

// stopBy stops a VM gracefully until one instant, and by force until another.
func (h *host) stopBy(ctx context.Context, vm string, kill, end time.Duration) {
	sctx, cancel := context.WithTimeout(ctx, max(kill-h.n.now(), 0))
	err := h.n.cfg.Driver.Stop(sctx, vm)
	cancel()
	if err == nil {
		return
	}
	h.log.Warn().Str("vm", vm).Err(err).Msg("it does not stop: kill")
	sctx, cancel = context.WithTimeout(ctx, max(end-h.n.now(), h.n.timings().Kill))
	defer cancel()
	if err := h.n.cfg.Driver.Kill(sctx, vm); err != nil {
		h.problem(vm, fmt.Sprintf("kill: %v", err))
	}
}

// verifyStopped ends the stopping when nothing runs, by two fresh queries in a
// row, and no start is unresolved.
func (h *host) verifyStopped(ctx context.Context) {
	h.mu.Lock()
	vms, still, late := slices.Clone(h.vms), h.stills >= 2, h.n.now() >= h.deadline
	open := h.unresolved() > 0 || (len(h.orphans) > 0 && !late)
	unresolved := h.n.cfg.Memory.Unresolved()
	for vm := range h.orphans {
		delete(unresolved, vm) // a kill does not resolve it
	}
	h.mu.Unlock()
	if !still || open {
		for _, vm := range vms {
			if late && h.ours(vm.Name) && (vm.State != record.VMStopped || unresolved[vm.Name] > 0) {
				h.kill(ctx, vm.Name, "it still runs after the lease was lost")
			}
		}
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = false
	h.log.Warn().Msg("all VMs are verified stopped: this node is ISOLATED until it holds a lease again")
}

// stop stops an owned VM because the node leaves.
func (h *host) stop(ctx context.Context, vm string) {
	grace := h.n.timings().StopGrace
	h.operate(vm, "stop", func() error {
		sctx, cancel := context.WithTimeout(ctx, max(grace, 10*time.Second))
		defer cancel()
		if err := h.n.cfg.Driver.Stop(sctx, vm); err == nil {
			return nil
		}
		return h.n.cfg.Driver.Kill(ctx, vm)
	})
}

// acknowledge tells, for a move, that the VMs have stopped here for good: seen
// stopped twice, snapshotted where they can be, their generation closed durably
// before the word is given.
func (h *host) acknowledge(ctx context.Context, s *ledger.State, order string) {
	n := h.n
	f, ok := s.Failovers[n.cfg.Name]
	h.mu.Lock()
	still := h.stills >= 2
	h.mu.Unlock()
	if order != record.LeaveMove || !ok || !still || len(n.cfg.Memory.Unresolved()) > 0 {
		return
	}
	for _, vm := range slices.Sorted(maps.Keys(f.Moves)) {
		mv, v := f.Moves[vm], s.VMs[vm]
		ack := record.Ack{Order: f.Order, Incarnation: n.getHolder().Incarnation(), VM: vm, Generation: v.Generation}
		h.mu.Lock()
		done := h.acks[vm] == ack
		h.mu.Unlock()
		if done || mv.Phase != ledger.MoveWaiting {
			continue
		}
		if err := h.lastStop(ctx, vm, v); err != nil {
			h.problem(vm, err.Error())
			continue
		}
		if err := n.cfg.Memory.CloseGeneration(vm, s.VMs[vm].Generation); err != nil {
			h.problem(vm, fmt.Sprintf("close generation: %v", err))
			continue
		}
		h.mu.Lock()
		h.acks[vm] = ack
		h.mu.Unlock()
	}
}

// lastStop stops a VM once more, whatever the list says: a sick service can look
// stopped; and makes its last snapshot. A VM whose disk was never made ready here
// has done nothing here.
func (h *host) lastStop(ctx context.Context, vm string, v ledger.VM) error {
	n := h.n
	if v.Restore && !n.cfg.Memory.IsPrepared(vm, v.Restored) {
		return nil
	}
	sctx, cancel := context.WithTimeout(ctx, max(n.timings().StopGrace, killPatience))
	defer cancel()
	if err := n.cfg.Driver.Stop(sctx, vm); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if n.cfg.Provider == nil || !v.Disk {
		return nil
	}
	// It is asked for anew at once: what it listed before is older.
	h.mu.Lock()
	h.datasetAt = 1
	h.mu.Unlock()
	if err := n.cfg.Provider.Snapshot(ctx, vm); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("last snapshot: %w", err)
	}
	return nil
}

// running counts the HA VMs that run here, for the heartbeat.
func (h *host) running() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	count := 0
	for _, vm := range h.vms {
		if vm.State != record.VMStopped && h.ours(vm.Name) {
			count++
		}
	}
	return count
}

// idle says whether nothing of ours runs, by two queries, and all that was
// asked is acknowledged and published.
func (h *host) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stills >= 2 && len(h.busy) == 0
}

// setOrder tells how the node leaves.
func (h *host) setOrder(order string) {
	h.mu.Lock()
	h.order = order
	h.mu.Unlock()
	kick(h.n.kickHost)
}

// ackedAll says whether every move in the failover was acknowledged, and the
// inventory that says so is published.
func (h *host) ackedAll(f ledger.Failover) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for vm, mv := range f.Moves {
		a, ok := h.acks[vm]
		if mv.Phase == ledger.MoveWaiting && !mv.Acked && (!ok || h.published == nil || !slices.Contains(h.published.Acks, a)) {
			return false
		}
	}
	return true
}

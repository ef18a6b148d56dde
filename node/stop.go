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
)

// stopBy stops a VM gracefully until one instant, and by force until another.
func (h *host) stopBy(ctx context.Context, vm string, kill, end time.Duration) {
	sctx, cancel := context.WithTimeout(ctx, max(kill-h.n.now(), 0))
	err := h.n.cfg.Driver.Stop(sctx, vm)
	cancel()
	if err == nil || ctx.Err() != nil {
		return // it has stopped, or all was seen stopped meanwhile
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
	f := h.n.state().Members[h.n.cfg.Name].Fence
	h.mu.Lock()
	kill := h.deadline
	switch {
	case h.dog == nil:
	case f != nil && f.Proof != "":
		kill = 0
	case !h.dog.atOnce():
		kill -= h.n.timings().Kill // verified within K, or the host is ended
	}
	vms, still, late := slices.Clone(h.vms), h.stills >= 2, h.n.now() >= kill
	// What an earlier process left under way comes up no more where the deadline has
	// passed by which VMs stop themselves; elsewhere nothing but the host's end ends it.
	open := h.unresolved() > 0 || (len(h.orphans) > 0 && (h.self == nil || !late))
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
	if !h.lift() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped() // a command that stops what has stopped would stop what starts next
	h.stopping, h.why = false, ""
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

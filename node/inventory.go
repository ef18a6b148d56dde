package node

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// datasetsEvery is how many intervals pass between queries of the snapshots;
// a failover asks for them at once.
const datasetsEvery = 5

// publish writes the inventory when it has changed, or when a failover or a
// repair asks for one that is newer than the last.
func (h *host) publish(ctx context.Context, tail ledger.Stored) {
	n := h.n
	if n.getView().unanswered {
		return // a store that did not answer the last heartbeat would hold this loop
	}
	asked := h.wanted(tail)
	inv := h.inventory(ctx, tail, asked)
	now := n.now()
	h.mu.Lock()
	last, again := h.published, h.again != 0 && now >= h.again
	h.mu.Unlock()
	if last != nil && !asked && same(last, inv) && !again {
		return
	}
	// A number a try: one whose answer was lost may have been read.
	h.mu.Lock()
	h.tries++
	inv.Number = h.tries
	h.mu.Unlock()
	data, err := record.Seal(record.KindInventory, inv)
	if err == nil {
		// A store that hangs must not keep this loop from seeing what runs and killing it.
		pctx, cancel := context.WithTimeoutCause(ctx, h.mayTake(), errors.New("no answer in the time that it may take"))
		err = n.lanes.inventory.Put(pctx, record.InventoryKey(n.cfg.Name), data)
		cancel()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.log.Warn().Err(err).Msg("the inventory was not written")
		// It may land yet, over a later one: that is written once more then.
		h.again = n.now() + n.timings().Timeout
		return
	}
	h.published, h.number = inv, inv.Number
	if again {
		h.again = 0
	}
}

// mayTake is how long this loop may be held up by something that it tells the store.
func (h *host) mayTake() time.Duration {
	t := h.n.timings()
	if left, bound := h.leeway(h.n.now()); bound {
		return min(t.Renew, max(left, t.Interval))
	}
	if h.dog != nil && h.stops() {
		return t.Kill / 10
	}
	return t.Renew
}

// wanted: an entry asks for an inventory made after it was read.
func (h *host) wanted(tail ledger.Stored) bool {
	h.mu.Lock()
	last := h.published
	h.mu.Unlock()
	if last == nil || last.Incarnation != h.n.getHolder().Incarnation() {
		return true
	}
	for _, f := range tail.State.Failovers {
		if !last.Newer(f.Order) {
			return true
		}
		for _, mv := range f.Moves {
			if !last.Newer(mv.Stopped) {
				return true
			}
		}
	}
	m := tail.State.Members[h.n.cfg.Name]
	return tail.State.RepairSeq > last.LedgerSeq || (m.Fence != nil && m.Fence.Proved > last.LedgerSeq)
}

// inventory says what there is.
func (h *host) inventory(ctx context.Context, tail ledger.Stored, asked bool) *record.Inventory {
	n := h.n
	h.refreshDatasets(ctx, tail, asked)
	open := n.cfg.Memory.Unresolved()
	holder := n.getHolder()
	h.mu.Lock()
	defer h.mu.Unlock()
	inv := &record.Inventory{
		Cluster: n.cluster, Node: n.cfg.Name, Incarnation: holder.Incarnation(), LedgerSeq: tail.Seq,
		Wall: n.cfg.Clock.Wall(), Complete: h.queryErr == "" && h.queried != 0 && (n.cfg.Provider == nil || h.datasetAt != 0), Problem: h.queryErr,
		Provider: n.cfg.Provider != nil, Datasets: h.datasets, DatasetsSeq: h.datasetSeq,
	}
	// The gate is shut for an incarnation that is not admitted, or fenced.
	m := tail.State.Members[n.cfg.Name]
	shut := m.Admitted != holder.Incarnation() || m.Fence != nil
	inv.VerifiedStopped = inv.Complete && shut && h.stills >= 2 && len(open) == 0 && len(h.busy) == 0
	for _, vm := range h.vms {
		hv := record.HostVM{
			Name: vm.Name, State: vm.State, Generation: n.cfg.Memory.Running(vm.Name), Problem: h.problems[vm.Name],
			Closed: n.cfg.Memory.Closed(vm.Name),
		}
		if _, starting := open[vm.Name]; starting && vm.State == record.VMStopped {
			hv.State = record.VMUnknown
		}
		if hv.State == record.VMStopped {
			hv.Generation = 0
		}
		hv.Snapshots = inv.Dataset(vm.Name) != nil
		inv.VMs = append(inv.VMs, hv)
	}
	for vm, text := range h.problems {
		if inv.VM(vm) == nil {
			inv.VMs = append(inv.VMs, record.HostVM{Name: vm, State: record.VMUnknown, Problem: text})
		}
	}
	slices.SortFunc(inv.VMs, func(a, b record.HostVM) int { return cmp.Compare(a.Name, b.Name) })
	for _, vm := range slices.Sorted(maps.Keys(h.acks)) {
		inv.Acks = append(inv.Acks, h.acks[vm])
	}
	return inv
}

// refreshDatasets asks the snapshot provider when it is due.
func (h *host) refreshDatasets(ctx context.Context, tail ledger.Stored, asked bool) {
	n := h.n
	if n.cfg.Provider == nil {
		return
	}
	h.mu.Lock()
	due := h.datasetAt == 0 || asked || n.now() >= h.datasetAt+datasetsEvery*n.timings().Interval
	h.mu.Unlock()
	if !due {
		return
	}
	began := n.now()
	list, err := n.cfg.Provider.List(ctx)
	if err != nil {
		h.log.Warn().Err(err).Msg("the snapshots cannot be listed")
		return
	}
	for i := range list {
		v, known := tail.State.VMs[list[i].VM]
		if known && v.Owner == n.cfg.Name && (!v.Restore || n.cfg.Memory.IsPrepared(list[i].VM, v.Restored)) {
			list[i].Generation = v.Generation
		}
	}
	h.mu.Lock()
	h.datasets, h.datasetAt, h.datasetSeq = list, began, tail.Seq
	h.mu.Unlock()
}

// same: nothing changed but the time and the numbers.
func same(a, b *record.Inventory) bool {
	x, y := *a, *b
	x.Number, x.LedgerSeq, x.DatasetsSeq, x.Wall = y.Number, y.LedgerSeq, y.DatasetsSeq, y.Wall
	return reflect.DeepEqual(x, y)
}

func (h *host) inventoryNumber() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.number
}

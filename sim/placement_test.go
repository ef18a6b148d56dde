package sim

import (
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// known is how long what a host has published may be on its way to the master:
// two beats of announcing, reading and deciding.
const known = 4 * time.Second

// placed holds the snapshot that a moved VM starts from against section 7.5 of
// the design: the furthest of the owner's own list that a living host holds. The
// locks of the store and of the world are held.
func (l *ledgerRules) placed(prev, e *ledger.Entry, name string) {
	w := l.w
	was, is := prev.State.VMs[name], e.State.VMs[name]
	to := w.hosts[is.Owner]
	if !was.Disk {
		if to.vms[name] == nil {
			w.violated("placement", "entry %d: %s goes to %s, which has no definition of it", e.Seq, name, is.Owner)
		}
		return
	}
	if !to.held[is.Snapshot] {
		w.violated("placement", "entry %d: %s is to start on %s at %q, which never lay there", e.Seq, name, is.Owner, is.Snapshot)
		return
	}
	list := l.ownersList(was, name)
	at := slices.Index(list, is.Snapshot)
	if at < 0 {
		// Beyond the list's end: only a replica that contains the end.
		if len(list) == 0 || !to.held[list[len(list)-1]] {
			w.violated("placement", "entry %d: %s is to start at %q, which its owner %s never published", e.Seq, name, is.Snapshot, was.Owner)
		}
		return
	}
	t := prev.State.Timings.Timeout
	if w.now()-w.hosts[e.Node].healthySince() < t || w.now()-w.healed < t || len(w.common) > 0 {
		return // what the master could know cannot be told
	}
	order := prev.State.Failovers[was.Owner].Order
	for _, n := range sortedKeys(prev.State.Members) {
		m, h := prev.State.Members[n], w.hosts[n]
		// Who leaves, or is fenced, by this very entry takes nothing any more.
		if now := e.State.Members[n]; now.Fence != nil || now.Left != "" {
			continue
		}
		if n == was.Owner || m.Role == ledger.RoleWitness || m.Fence != nil || m.Left != "" ||
			w.now()-h.healthySince() < t || h.spec.mode == "disabled" {
			continue
		}
		inv := l.published(n, w.now()-known)
		if inv == nil || inv.Incarnation != m.Admitted || !inv.Complete || !inv.Newer(order) {
			continue
		}
		if ds := inv.Dataset(name); ds != nil {
			if there := furthest(list, ds.Snapshots); there > at {
				w.violated("placement", "entry %d: %s is to start on %s at %q, but %s holds %q, which is newer",
					e.Seq, name, is.Owner, is.Snapshot, n, list[there])
			}
		}
	}
}

// ownersList is the owner's own ordered list under the present generation, or
// the snapshot that it started from.
func (l *ledgerRules) ownersList(v ledger.VM, name string) []string {
	var guids []string
	if inv := l.lastOf(v, name); inv != nil {
		for _, s := range inv.Dataset(name).Snapshots {
			guids = append(guids, s.GUID)
		}
		return guids
	}
	if v.Snapshot != "" {
		guids = append(guids, v.Snapshot)
	}
	return guids
}

// lastOf is the newest inventory that lists the VM's disk under its generation.
func (l *ledgerRules) lastOf(v ledger.VM, name string) *record.Inventory {
	for _, x := range slices.Backward(l.w.store.versions[record.InventoryKey(v.Owner)]) {
		if inv := l.open(v.Owner, x.value); inv != nil {
			if ds := inv.Dataset(name); ds != nil && ds.Generation == v.Generation {
				return inv
			}
		}
	}
	return nil
}

// published is what a host had published by an instant.
func (l *ledgerRules) published(n string, by time.Duration) *record.Inventory {
	for _, v := range slices.Backward(l.w.store.versions[record.InventoryKey(n)]) {
		if v.at <= by {
			return l.open(n, v.value)
		}
	}
	return nil
}

func (l *ledgerRules) open(n string, value []byte) *record.Inventory {
	inv := l.w.sent.inventory(value)
	if inv == nil || inv.Node != n || inv.Cluster != l.tail.Load().Cluster {
		return nil
	}
	return inv
}

// furthest is the place in the owner's list of the newest that a replica holds,
// -1 for none.
func furthest(list []string, replica []record.Snapshot) int {
	for i, guid := range slices.Backward(list) {
		if slices.ContainsFunc(replica, func(s record.Snapshot) bool { return s.GUID == guid }) {
			return i
		}
	}
	return -1
}

// mayPrepare: a disk is made ready at the snapshot that the ledger names for
// that generation, and never again after the VM ran on it: that would roll its
// work back. The lock is held. Between the gate's look and this act a process may
// stand still for as long as it likes: an order that is outdated by then makes a
// disk that nobody starts from.
func (l *ledgerRules) mayPrepare(h *host, name, guid string, generation uint64) {
	v := l.state().VMs[name]
	if v.Owner != h.name || v.Generation != generation {
		return
	}
	if v.Snapshot != guid {
		l.w.violated("placement", "%s is made ready on %s at %q; the ledger says %q", name, h.name, guid, v.Snapshot)
	}
	if h.ran[name] >= v.Restored {
		l.w.violated("placement", "the disk of %s on %s is rolled back to %q, though it ran there under generation %d", name, h.name, guid, h.ran[name])
	}
}

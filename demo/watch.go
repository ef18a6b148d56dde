package demo

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// watch follows the cluster by reading its store, and judges heartbeats by the
// rules that the nodes themselves keep.
type watch struct {
	store       persistence.Store
	cluster     string
	tail        *ledger.Entry // newest read, nil before the first
	observer    *lease.Observer
	inventories map[string]*record.Inventory
	urls        map[string]bool // every address that a daemon ever announced
}

func newWatch(s persistence.Store) *watch {
	return &watch{store: s, inventories: map[string]*record.Inventory{}, urls: map[string]bool{}}
}

// look reads what is new and returns the entries that are, oldest first. Of an
// error, what had been read before it counts.
func (w *watch) look(ctx context.Context) ([]*ledger.Entry, error) {
	if w.cluster == "" {
		if found, err := w.find(ctx); err != nil || !found {
			return nil, err
		}
	}
	news, err := w.entries(ctx)
	if err != nil || w.tail == nil {
		return news, err
	}
	s := w.tail.State
	if w.observer == nil {
		w.observer = lease.NewObserver(boottime.Now(), s.InForce())
	}
	w.observer.SetTimings(s.InForce())
	for _, n := range w.members() {
		err = errors.Join(err, w.heartbeat(ctx, n), w.inventory(ctx, n))
	}
	return news, err
}

func (w *watch) find(ctx context.Context) (bool, error) {
	obj, err := w.store.Get(ctx, "cluster.json")
	if errors.Is(err, persistence.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, err := record.OpenCluster(obj.Value)
	if err != nil {
		return false, err
	}
	w.cluster = c.ID
	return true, nil
}

func (w *watch) entries(ctx context.Context) ([]*ledger.Entry, error) {
	var news []*ledger.Entry
	for {
		next := uint64(1)
		if w.tail != nil {
			next = w.tail.Seq + 1
		}
		e, err := ledger.Read(ctx, w.store, w.cluster, next)
		if errors.Is(err, persistence.ErrNotFound) {
			return news, nil
		}
		if err != nil {
			return news, err
		}
		w.tail = e.Entry
		news = append(news, e.Entry)
	}
}

func (w *watch) heartbeat(ctx context.Context, node string) error {
	r := lease.Reading{Begun: boottime.Now()}
	obj, err := w.store.Get(ctx, record.HeartbeatKey(node))
	r.Ended = boottime.Now()
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		r.Problem = err
	case err != nil:
		return err
	default:
		r.Raw = record.Hash(obj.Value)
		r.Heartbeat, r.Problem = record.OpenHeartbeat(w.cluster, node, obj.Value)
	}
	if r.Heartbeat != nil && r.Heartbeat.URL != "" {
		w.urls[r.Heartbeat.URL] = true
	}
	w.observer.Saw(node, r)
	return nil
}

// inventory reads a node's inventory when its heartbeat says that it is new.
func (w *watch) inventory(ctx context.Context, node string) error {
	hb, old := w.observer.Node(node).Last, w.inventories[node]
	if hb == nil || hb.Inventory == 0 ||
		(old != nil && old.Incarnation == hb.Incarnation && old.Number >= hb.Inventory) {
		return nil
	}
	obj, err := w.store.Get(ctx, record.InventoryKey(node))
	if err != nil {
		return err
	}
	inv, err := record.OpenInventory(w.cluster, node, obj.Value)
	if err == nil {
		w.inventories[node] = inv
	}
	return err
}

func (w *watch) members() []string {
	if w.tail == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(w.tail.State.Members))
}

func (w *watch) vms() []string {
	if w.tail == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(w.tail.State.VMs))
}

// node is what is known of a member.
func (w *watch) node(name string) lease.Node {
	if w.observer == nil {
		return lease.Node{Standing: lease.Unseen}
	}
	return w.observer.Node(name)
}

// lives: its heartbeat moves, under the incarnation that the ledger admits.
func (w *watch) lives(name string) bool {
	k := w.node(name)
	return k.Standing == lease.Alive && k.Last != nil && !k.Last.Ending &&
		k.Last.Incarnation == w.tail.State.Members[name].Admitted
}

// master is the node that is master by the ledger and by its own heartbeat; "" for
// none.
func (w *watch) master() string {
	if w.tail == nil {
		return ""
	}
	name := w.tail.State.Master
	if name == "" || !w.lives(name) {
		return ""
	}
	if hb := w.node(name).Last; hb.Epoch != w.tail.Epoch || hb.Released >= w.tail.Epoch {
		return ""
	}
	return name
}

// runs: the VM runs at its owner, under its newest generation.
func (w *watch) runs(vm string) bool {
	v := w.tail.State.VMs[vm]
	if !w.lives(v.Owner) {
		return false
	}
	h := w.inventories[v.Owner].VM(vm)
	return h != nil && h.State == record.VMRunning && h.Generation == v.Generation
}

// replica dates the newest snapshot of the VM that a host other than its owner
// holds.
func (w *watch) replica(vm, host string) (time.Time, bool) {
	ds := w.inventories[host].Dataset(vm)
	if ds == nil || len(ds.Snapshots) == 0 || w.tail.State.VMs[vm].Owner == host {
		return time.Time{}, false
	}
	return ds.Snapshots[len(ds.Snapshots)-1].Created, true
}

// replicated: the owner has told of its snapshots under the newest generation,
// and every other living host holds some.
func (w *watch) replicated(vm string) bool {
	v := w.tail.State.VMs[vm]
	own := w.inventories[v.Owner].Dataset(vm)
	if own == nil || own.Generation != v.Generation || len(own.Snapshots) == 0 {
		return false
	}
	for _, n := range w.members() {
		if _, ok := w.replica(vm, n); n != v.Owner && w.lives(n) && !ok {
			return false
		}
	}
	return true
}

// owned lists the VMs of a node.
func (w *watch) owned(node string) []string {
	return slices.DeleteFunc(w.vms(), func(vm string) bool { return w.tail.State.VMs[vm].Owner != node })
}

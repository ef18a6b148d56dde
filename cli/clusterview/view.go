package clusterview

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// View is what one look at the store showed.
type View struct {
	Cluster record.Cluster
	Tail    ledger.Stored
	Nodes   map[string]*Node // by name, the members of the newest entry
	// Forks says which heartbeats follow another history than the ledger's.
	Forks []string
}

// Node is one member.
type Node struct {
	Name   string
	Member ledger.Member
	// Heartbeat is nil where it cannot be read; Problem then says why.
	Heartbeat *record.Heartbeat
	Problem   error
	// Inventory is nil where there is none, or it cannot be read.
	Inventory        *record.Inventory
	InventoryProblem error
	// Alive: the heartbeat moved while it was watched, or was written less than
	// D + M ago by the store's own time, and is not the node's last word.
	Alive bool
	// Age of the heartbeat; nil when the store's times do not tell.
	Age *time.Duration

	modified time.Time
	raw      string // digest of what lies there, or absent; "" before any answer
	moved    bool
	seen     time.Time // when it was last read to have changed, on this host
}

// absent stands for the digest of a record that is not there.
const absent = "absent"

// Look reads all members, and where the age of a heartbeat does not tell,
// watches for up to two intervals whether it moves.
func (c *Cluster) Look(ctx context.Context) (*View, error) {
	v := &View{Cluster: c.Cluster, Tail: c.Ledger.Tail(), Nodes: map[string]*Node{}}
	if err := c.lookAt(ctx, v); err != nil {
		return nil, err
	}
	// Heartbeats may speak of entries that came meanwhile.
	if _, err := c.Ledger.Refresh(ctx); err != nil {
		return nil, err
	}
	v.Tail = c.Ledger.Tail()
	if err := c.lookAt(ctx, v); err != nil {
		return nil, err
	}
	if err := c.handover(ctx, v); err != nil {
		return nil, err
	}
	for name, n := range v.Nodes {
		n.Member = v.Tail.State.Members[name]
	}
	if err := c.inventories(ctx, v); err != nil {
		return nil, err
	}
	return v, c.forks(ctx, v)
}

// lookAt reads the members of the newest entry that were not read yet.
func (c *Cluster) lookAt(ctx context.Context, v *View) error {
	maps.DeleteFunc(v.Nodes, func(name string, _ *Node) bool { _, ok := v.Tail.State.Members[name]; return !ok })
	var fresh []*Node
	for _, name := range slices.Sorted(maps.Keys(v.Tail.State.Members)) {
		if v.Nodes[name] == nil {
			n := &Node{Name: name}
			v.Nodes[name] = n
			c.heartbeat(ctx, n)
			fresh = append(fresh, n)
		}
	}
	c.age(ctx, v, fresh)
	c.watch(ctx, v, fresh)
	return context.Cause(ctx)
}

// heartbeat reads one. What is wrong with it is told with the node.
func (c *Cluster) heartbeat(ctx context.Context, n *Node) {
	obj, err := c.Store.Get(ctx, record.HeartbeatKey(n.Name))
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		n.Heartbeat, n.Problem, n.raw = nil, errors.New("it has no heartbeat"), absent
	case err != nil:
		n.Heartbeat, n.Problem = nil, err // and what lies there is as unknown as before
	default:
		n.modified, n.raw = obj.Modified, record.Hash(obj.Value)
		n.Heartbeat, n.Problem = record.OpenHeartbeat(c.ID, n.Name, obj.Value)
	}
}

func (c *Cluster) inventories(ctx context.Context, v *View) error {
	for _, n := range v.Nodes {
		obj, err := c.Store.Get(ctx, record.InventoryKey(n.Name))
		switch {
		case errors.Is(err, persistence.ErrNotFound):
		case err != nil:
			n.InventoryProblem = err
		default:
			n.Inventory, n.InventoryProblem = record.OpenInventory(c.ID, n.Name, obj.Value)
		}
	}
	return context.Cause(ctx)
}

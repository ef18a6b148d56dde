package clusterview

import (
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// VM is one VM's ownership and what its owner says of it.
type VM struct {
	Name       string `json:"name"`
	Owner      string `json:"owner"`
	Generation uint64 `json:"generation"`
	State      string `json:"state"` // running, stopped or unknown
	// Snapshot is the guid that this generation started from, "" for a disk as
	// it lay.
	Snapshot string `json:"snapshot"`
	// ReplicaAge is what a failover now would lose: between the owner's last
	// sign of life and the newest of its snapshots that another live host holds,
	// both by the owner's clock. null: the VM has no snapshots, or nobody has one.
	ReplicaAge *float64 `json:"newest_replica_age_seconds"`
	Problem    string   `json:"problem,omitempty"`
}

// Failover is one node's VMs going elsewhere.
type Failover struct {
	Node   string     `json:"node"`
	Why    string     `json:"why"`
	Began  time.Time  `json:"began"`
	Proof  string     `json:"proof"` // that the node runs nothing; "" while there is none
	Proved *time.Time `json:"proved"`
	VMs    []Move     `json:"vms"`
}

// Move is one VM of a failover.
type Move struct {
	Name     string   `json:"name"`
	Phase    string   `json:"phase"`
	Acked    bool     `json:"acked"` // its old host says that it stopped it
	To       string   `json:"to"`
	Snapshot string   `json:"snapshot"`
	Lost     *float64 `json:"lost_seconds"`
	Problem  string   `json:"problem"`
}

// Conflict is a VM that is not managed, because several hosts claim it.
type Conflict struct {
	VM    string   `json:"vm"`
	Nodes []string `json:"nodes"`
	Why   string   `json:"why"`
}

func (v *View) vm(name string, vm ledger.VM) VM {
	out := VM{
		Name: name, Owner: vm.Owner, Generation: vm.Generation, Snapshot: vm.Snapshot,
		State: record.VMUnknown, ReplicaAge: v.replicaAge(name, vm),
	}
	owner := v.Nodes[vm.Owner]
	if owner == nil || !owner.Alive || owner.Heartbeat == nil {
		return out
	}
	inv := owner.Inventory
	if inv == nil || inv.Incarnation != owner.Heartbeat.Incarnation {
		return out // what an earlier incarnation knew
	}
	switch host := inv.VM(name); {
	case host != nil:
		out.State, out.Problem = host.State, host.Problem
	case inv.Complete:
		out.State = record.VMStopped // the host does not have it as its own yet
	}
	return out
}

// replicaAge compares times of the owner's clock alone: its snapshots and its
// heartbeat.
func (v *View) replicaAge(name string, vm ledger.VM) *float64 {
	owner := v.Nodes[vm.Owner]
	if owner == nil || owner.Heartbeat == nil {
		return nil
	}
	var newest *record.Snapshot
	list := []record.Snapshot{{GUID: vm.Snapshot}}
	if ds := owner.Inventory.Dataset(name); ds != nil && ds.Generation == vm.Generation {
		list = ds.Snapshots
	}
	place := make(map[string]int, len(list))
	for i, s := range list {
		place[s.GUID] = i
	}
	best := -1
	for _, n := range v.Nodes {
		ds := n.Inventory.Dataset(name)
		if n == owner || !n.Alive || ds == nil {
			continue
		}
		for i := range ds.Snapshots {
			if at, ok := place[ds.Snapshots[i].GUID]; ok && at > best {
				best, newest = at, &ds.Snapshots[i]
			}
		}
	}
	if newest == nil {
		return nil
	}
	age := max(owner.Heartbeat.Wall.Sub(newest.Created), 0)
	return seconds(&age)
}

func (v *View) failover(f ledger.Failover) Failover {
	out := Failover{Node: f.Node, Why: f.Why, Began: f.Began, Proved: f.Proved, VMs: []Move{}}
	if m, ok := v.Tail.State.Members[f.Node]; ok && m.Fence != nil {
		out.Proof = m.Fence.Proof
	}
	for _, name := range sorted(f.Moves) {
		mv := f.Moves[name]
		out.VMs = append(out.VMs, Move{
			Name: name, Phase: mv.Phase, Acked: mv.Acked, To: mv.To, Snapshot: mv.Snapshot, Lost: mv.Lost, Problem: mv.Problem,
		})
	}
	return out
}

package clusterview

import (
	"maps"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Status is what status -o json prints. Its lists are never null.
type Status struct {
	ClusterID string     `json:"cluster_id"`
	Epoch     uint64     `json:"epoch"`
	LedgerSeq uint64     `json:"ledger_seq"`
	Master    string     `json:"master"` // "" when nobody is known to be
	Frozen    bool       `json:"frozen"`
	Debug     bool       `json:"debug"`
	Armed     bool       `json:"armed"`
	Closed    bool       `json:"closed"`
	MovedTo   string     `json:"moved_to,omitempty"` // where the cluster is now, if closed
	Repair    []string   `json:"repair"`             // members that a repaired ledger waits for
	Nodes     []Member   `json:"nodes"`
	VMs       []VM       `json:"vms"`
	Failovers []Failover `json:"failovers"`
	Conflicts []Conflict `json:"conflicts"`
	Alarms    []string   `json:"alarms"`
}

// Member is one node.
type Member struct {
	Node     string `json:"node"`
	State    string `json:"state"`
	Role     string `json:"role"`
	Priority int    `json:"priority"`
	Alive    bool   `json:"alive"`
	// LeaseAge is since the heartbeat was written, by the store's times or by
	// watching it; null where neither tells.
	LeaseAge    *float64 `json:"lease_age_seconds"`
	Proof       string   `json:"proof"`
	Unproved    string   `json:"unproved,omitempty"` // why it proves nothing
	URL         string   `json:"url"`
	Incarnation string   `json:"incarnation"`
	Heartbeat   uint64   `json:"heartbeat"`
	Admitted    bool     `json:"admitted"` // this incarnation is
	Fence       *Fence   `json:"fence"`
	Left        string   `json:"left,omitempty"`
	HeldBack    bool     `json:"held_back,omitempty"`
	Maintenance bool     `json:"maintenance,omitempty"`
	Version     string   `json:"version"`
	Running     int      `json:"running"`
	Problem     string   `json:"problem,omitempty"`
}

// Fence is why a node's VMs are barred. Proof "" means that none is there yet.
type Fence struct {
	Why    string `json:"why"`
	Proof  string `json:"proof"`
	Manual bool   `json:"manual"` // it ends only by unfence
}

// StateUnreadable is shown for a node whose heartbeat cannot be read.
const StateUnreadable = "UNREADABLE"

// Status judges what was read.
func (v *View) Status() *Status {
	s := v.Tail.State
	out := &Status{
		ClusterID: v.Cluster.ID, Epoch: v.Tail.Epoch, LedgerSeq: v.Tail.Seq, Master: v.Master(),
		Frozen: s.Frozen, Debug: s.Debug, Armed: s.Armed, Closed: s.Closed, MovedTo: s.MovedTo,
		Repair: sorted(s.Repair), Nodes: []Member{}, VMs: []VM{}, Failovers: []Failover{},
		Conflicts: []Conflict{}, Alarms: []string{},
	}
	for _, name := range sorted(v.Nodes) {
		out.Nodes = append(out.Nodes, v.member(v.Nodes[name], out.Master))
	}
	for _, name := range sorted(s.VMs) {
		out.VMs = append(out.VMs, v.vm(name, s.VMs[name]))
	}
	for _, name := range sorted(s.Failovers) {
		out.Failovers = append(out.Failovers, v.failover(s.Failovers[name]))
	}
	for _, name := range sorted(s.Conflicts) {
		c := s.Conflicts[name]
		out.Conflicts = append(out.Conflicts, Conflict{VM: name, Nodes: c.Nodes, Why: c.Why})
	}
	out.Alarms = append(out.Alarms, v.Forks...)
	for _, name := range sorted(v.Nodes) {
		n := v.Nodes[name]
		if n.Alive && n.Heartbeat != nil && n.Heartbeat.Alarm != "" {
			out.Alarms = append(out.Alarms, name+": "+n.Heartbeat.Alarm)
		}
	}
	return out
}

// Master is who holds the mastership of the newest entry and lives: its newest
// heartbeat carries it and does not give it up.
func (v *View) Master() string {
	n := v.Nodes[v.Tail.State.Master]
	if n == nil || !n.Alive || !v.carries(n) {
		return ""
	}
	return n.Name
}

// carries says whether the node's newest heartbeat carries the mastership of
// the newest entry.
func (v *View) carries(n *Node) bool {
	hb, tail := n.Heartbeat, v.Tail
	return hb != nil && n.Name == tail.State.Master && hb.Incarnation == tail.State.Incarnation &&
		hb.Epoch == tail.Epoch && hb.Released < tail.Epoch && !hb.Ending
}

func (v *View) member(n *Node, master string) Member {
	m := n.Member
	out := Member{
		Node: n.Name, State: v.state(n, master), Role: m.Role, Priority: m.Priority, Alive: n.Alive,
		LeaseAge: seconds(n.Age), Proof: record.ProofNothing, URL: m.URL, Version: m.Version,
		Left: m.Left, HeldBack: m.HoldBack, Maintenance: m.Maintenance,
	}
	if hb := n.Heartbeat; hb != nil {
		out.Incarnation, out.Heartbeat, out.Running, out.Version = hb.Incarnation, hb.Seq, hb.Running, hb.Version
		out.Admitted = m.Admitted != "" && m.Admitted == hb.Incarnation
		if hb.URL != "" {
			out.URL = hb.URL
		}
		// The weaker of what the node and the ledger declare.
		if out.Admitted && hb.Proof == m.Proof {
			out.Proof = hb.Proof
		}
		if out.Proof == record.ProofNothing {
			out.Unproved = hb.Unproved
		}
	}
	if m.Fence != nil {
		out.Fence = &Fence{Why: m.Fence.Why, Proof: m.Fence.Proof, Manual: m.Fence.Manual}
	}
	switch {
	case n.Problem != nil:
		out.Problem = n.Problem.Error()
	case n.InventoryProblem != nil:
		out.Problem = "inventory: " + n.InventoryProblem.Error()
	case n.Inventory != nil && n.Inventory.Problem != "":
		out.Problem = "its VMs are unknown: " + n.Inventory.Problem
	}
	return out
}

// state is what a node says of itself while it can be believed.
func (v *View) state(n *Node, master string) string {
	hb, fenced := n.Heartbeat, n.Member.Fence != nil && n.Member.Fence.Proof != ""
	switch {
	case fenced:
		return node.StateFenced
	case hb == nil && n.Member.Admitted == "" && n.raw == absent:
		return node.StateInitializing // it joined and has not written yet
	case hb == nil:
		return StateUnreadable
	case hb.Ending:
		return node.StateTerminated
	case !n.Alive:
		return node.StateFailed
	case hb.State == node.StateMaster && n.Name != master:
		return node.StateStandby // the ledger has gone on, and it will read so
	}
	return hb.State
}

// seconds of a duration, to the millisecond; nil stays nil.
func seconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	s := d.Round(time.Millisecond).Seconds()
	return &s
}

// sorted gives the keys; never nil.
func sorted[V any](m map[string]V) []string {
	return slices.AppendSeq(make([]string, 0, len(m)), slices.Values(slices.Sorted(maps.Keys(m))))
}

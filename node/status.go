package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
)

// States of a node: AMP's, and those that hosts of VMs need besides.
const (
	StateInitializing = "INITIALIZING"
	StateStandby      = "STANDBY"
	StateHotStandby   = "HOT_STANDBY"
	StateHotBackup    = failover.StateHotBackup
	StateMaster       = "MASTER"
	StateFailed       = "FAILED"     // decides nothing until the operator acts
	StateTerminated   = "TERMINATED" // gone, by itself
	StateIsolated     = "ISOLATED"   // lost its lease
	StateFenced       = "FENCED"
	StateMaintenance  = "MAINTENANCE"
)

// State is this node's state at this instant.
func (n *Node) State() string {
	n.mu.Lock()
	ending, doubt, holder, lost := n.ending, n.view.doubt(), n.holder, n.stats.LeasesLost
	n.mu.Unlock()
	if holder == nil {
		return StateInitializing
	}
	if ending {
		return StateTerminated
	}
	if _, ok := n.mastership(); ok {
		return StateMaster
	}
	m, _ := n.member()
	valid := holder.Valid(n.now())
	switch {
	case doubt != "":
		return StateFailed
	case !valid && (lost > 0 || holder.Over(n.now())):
		return StateIsolated
	case !valid:
		return StateInitializing
	case m.Fence != nil:
		return StateFenced
	case m.Maintenance:
		return StateMaintenance
	case n.cfg.Mode == ModeHotBackup || n.cfg.Mode == ModeDisabled:
		return StateHotBackup
	case n.cfg.Mode == ModeHotStandby:
		return StateHotStandby
	}
	return StateStandby
}

// Primary says whether this node is master at this instant, and under which
// epoch.
func (n *Node) Primary() (epoch uint64, ok bool) { return n.mastership() }

// Lease says whether this node holds its lease now, and until when.
func (n *Node) Lease() (until time.Duration, ok bool) {
	h := n.getHolder()
	if h == nil {
		return 0, false
	}
	return h.Until(), h.Valid(n.now())
}

// Alarms are what an operator should know, in a steady order.
func (n *Node) Alarms() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, texts := range n.alarms {
		all = append(all, texts...)
	}
	slices.Sort(all)
	return all
}

// Stats counts what this node did.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	s := n.stats
	n.mu.Unlock()
	s.Requests = map[string]map[string]uint64{}
	for purpose, lane := range map[string]persistence.Store{
		"tail": n.lanes.tail, "heartbeat": n.lanes.heartbeat, "members": n.lanes.members,
		"entries": n.lanes.entries, "requests": n.lanes.requests, "inventory": n.lanes.inventory,
	} {
		if c, ok := lane.(persistence.Counter); ok {
			s.Requests[purpose] = c.Sent()
		}
	}
	return s
}

// Peer is another member, or this node, as this node sees it.
type Peer struct {
	Name     string
	State    string
	Standing lease.Standing
	Priority int
	URL      string
	Age      time.Duration // since something new was seen
	Wall     time.Time     // by its own clock
}

// Overview is what this node knows of the cluster.
type Overview struct {
	Cluster   string
	Self      string
	Master    string // "" when nobody holds the mastership as far as is known
	Epoch     uint64
	LedgerSeq uint64
	Failovers int
	Peers     []Peer
}

// Overview tells what this node knows. Before the cluster is found it is empty.
func (n *Node) Overview() Overview {
	o := Overview{Self: n.cfg.Name}
	tail := n.ledger.Tail()
	if tail.Entry == nil {
		return o
	}
	o.Cluster = tail.Cluster
	v := n.getView()
	o.Epoch, o.LedgerSeq, o.Failovers = tail.Epoch, tail.Seq, len(tail.State.Failovers)
	for name, m := range tail.State.Members {
		p := Peer{Name: name, Priority: m.Priority, URL: m.URL, Standing: lease.Alive, Wall: n.cfg.Clock.Wall()}
		if name == n.cfg.Name {
			p.State = n.State()
			if p.State == StateMaster {
				o.Master = name
			}
		} else {
			k := v.nodes[name]
			p.Standing, p.Age = k.Standing, k.Age
			if k.Last != nil {
				p.State, p.Wall = k.Last.State, k.Last.Wall
			}
			switch {
			case p.State == StateTerminated:
			case k.Standing == lease.Stale, k.Standing == lease.Unreadable:
				p.State = StateFailed
			case p.State == "":
				p.State = StateInitializing
			}
			if name == tail.State.Master && k.Standing == lease.Alive && !v.vacancy.Vacant && p.State == StateMaster {
				o.Master = name
			}
		}
		o.Peers = append(o.Peers, p)
	}
	slices.SortFunc(o.Peers, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	return o
}

package ledger

import (
	"maps"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Roles of members.
const (
	RoleCandidate = "candidate" // may become master
	RoleWorker    = "worker"    // never master
	RoleWitness   = "witness"   // may become master, runs no VMs
)

// State is the whole decided state of the cluster after an entry. The values
// of its maps are never changed in place: a new state gets new ones.
type State struct {
	Timings record.Timings `json:"timings"`
	// TimingsSeq is the number of the entry that set the timings, 0 for the founding
	// one, and TimingsBefore the longest of all before; see record.InForce. They are
	// kept for ever: only an observer knows which heartbeats it has seen.
	TimingsSeq    uint64         `json:"timings_seq,omitempty"`
	TimingsBefore record.Timings `json:"timings_before,omitzero"`
	// Master and Incarnation, with the entry's epoch, are the mastership. Both
	// are empty after a release.
	Master      string `json:"master,omitempty"`
	Incarnation string `json:"incarnation,omitempty"`
	// Claimed is the number of the entry that made the mastership.
	Claimed uint64 `json:"claimed,omitempty"`
	// Armed: an operator has armed the cluster since it was founded or
	// repaired; before that nothing starts that does not run already.
	Armed  bool `json:"armed"`
	Frozen bool `json:"frozen,omitempty"`
	// FrozenAt is the number of the entry that froze it last.
	FrozenAt uint64 `json:"frozen_at,omitempty"`
	// ArmedAt is the number of the entry that armed it last: what a heartbeat says
	// of its proof counts upward only if it had read that entry.
	ArmedAt uint64 `json:"armed_at,omitempty"`
	Debug   bool   `json:"debug,omitempty"`
	// Closed: the cluster has moved to another store, at MovedTo; no lease is granted
	// here.
	Closed  bool   `json:"closed,omitempty"`
	MovedTo string `json:"moved_to,omitempty"`
	// Repair names the members that have not yet joined a repaired ledger, or one
	// whose debug mode has ended, and reported what they run; no VM starts before all
	// have.
	Repair    map[string]bool     `json:"repair,omitempty"`
	RepairSeq uint64              `json:"repair_seq,omitempty"`
	Members   map[string]Member   `json:"members"`
	VMs       map[string]VM       `json:"vms,omitempty"`
	Failovers map[string]Failover `json:"failovers,omitempty"` // by the node that failed or leaves
	Answers   map[string]Answer   `json:"answers,omitempty"`   // by request id, while the request exists and for some entries after
	Conflicts map[string]Conflict `json:"conflicts,omitempty"` // VMs that more than one host claims
}

// Member is one node of the cluster.
type Member struct {
	Role     string `json:"role"`
	Priority int    `json:"priority,omitempty"`
	Machine  string `json:"machine"` // hardware id
	Key      string `json:"key"`     // fingerprint of the key in its local memory
	URL      string `json:"url,omitempty"`
	Version  string `json:"version,omitempty"`
	// Admitted is the incarnation that may start VMs.
	Admitted string `json:"admitted,omitempty"`
	// Proof is what its silence proves, as decided; the weaker of this and its
	// heartbeat holds.
	Proof       string `json:"proof,omitempty"`
	Maintenance bool   `json:"maintenance,omitempty"`
	// HoldBack: demoted by hand; it does not claim while another can.
	HoldBack bool `json:"hold_back,omitempty"`
	// Left is how the admitted incarnation left by itself (record.Leave...);
	// no automatic failover follows.
	Left string `json:"left,omitempty"`
	// LeftBy is the incarnation that left.
	LeftBy string `json:"left_by,omitempty"`
	Fence  *Fence `json:"fence,omitempty"`
	// Fences dates the latest fences: after MaxFences within a day the node
	// stays fenced until the operator says unfence.
	Fences []time.Time `json:"fences,omitempty"`
}

// MaxFences a day: one more and a node does not rejoin by itself.
const MaxFences = 3

// Fence bars a node's VMs. Without Proof the node is being fenced: its gate is
// shut and its VMs run on. With it the node is fenced: proved to run nothing.
type Fence struct {
	Incarnation string `json:"incarnation,omitempty"`
	Heartbeat   uint64 `json:"heartbeat,omitempty"` // number at which it stood still
	Order       uint64 `json:"order"`               // entry that shut the gate
	Why         string `json:"why"`
	Proof       string `json:"proof,omitempty"`
	// Proved is the entry that recorded the proof.
	Proved uint64 `json:"proved,omitempty"`
	// Moved: a VM has been given to another host since.
	Moved bool `json:"moved,omitempty"`
	// Manual: it ends only by unfence.
	Manual bool `json:"manual,omitempty"`
}

// How a fence was proved.
const (
	ProvedElapsed      = "elapsed"
	ProvedAcknowledged = "acknowledged"
	ProvedOperator     = "operator"
)

// VM is one VM's ownership.
type VM struct {
	Owner      string `json:"owner"`
	Generation uint64 `json:"generation"`
	// Snapshot is the guid that this generation started from, "" for a disk as
	// it lay. Restore: the owner makes it its disk before the first start.
	Snapshot string `json:"snapshot,omitempty"`
	Restore  bool   `json:"restore,omitempty"`
	// Restored is the generation that ordered the restore: it is done once, and a
	// restart on the same owner neither repeats nor forgets it.
	Restored uint64 `json:"restored,omitempty"`
	// Disk: the VM has snapshots, so that only a host with a replica can run it.
	Disk bool `json:"disk,omitempty"`
}

// Failover is the journal of one node's VMs going elsewhere.
type Failover struct {
	Node        string          `json:"node"`
	Incarnation string          `json:"incarnation,omitempty"`
	Order       uint64          `json:"order"`
	Why         string          `json:"why"`
	Began       time.Time       `json:"began"`
	Proved      *time.Time      `json:"proved,omitempty"`
	Moves       map[string]Move `json:"moves"` // by VM
}

// Phases of a move.
const (
	MoveWaiting = "waiting" // for a proof, an inventory or the operator
	MovePlaced  = "placed"  // owned by its new host, not running yet
	MoveRunning = "running"
)

// Move is one VM's way from a failed host to another.
type Move struct {
	Phase      string `json:"phase"`
	Generation uint64 `json:"generation"` // under which it ran before
	Acked      bool   `json:"acked,omitempty"`
	// Stopped is the entry that took the acknowledgement: only what a host listed
	// after it can hold the VM's last snapshot.
	Stopped  uint64     `json:"stopped,omitempty"`
	To       string     `json:"to,omitempty"`
	Snapshot string     `json:"snapshot,omitempty"`
	Lost     *float64   `json:"lost_seconds,omitempty"` // by the owner's clock
	Problem  string     `json:"problem,omitempty"`
	Placed   *time.Time `json:"placed,omitempty"`
	Running  *time.Time `json:"running,omitempty"`
}

// Answer is what became of a request.
type Answer struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"`
	At   uint64 `json:"at,omitempty"` // the entry that gave it
}

// Conflict is a VM that is not managed, because several hosts claim it.
type Conflict struct {
	Nodes []string `json:"nodes"`
	Why   string   `json:"why"`
}

// InForce are the timings by which others are judged.
func (s *State) InForce() record.InForce {
	return record.InForce{Timings: s.Timings, Seq: s.TimingsSeq, Before: s.TimingsBefore}
}

// Clone copies the state and all its maps.
func (s *State) Clone() *State {
	c := *s
	c.Repair = maps.Clone(s.Repair)
	c.Members = maps.Clone(s.Members)
	c.VMs = maps.Clone(s.VMs)
	c.Answers = maps.Clone(s.Answers)
	c.Conflicts = maps.Clone(s.Conflicts)
	c.Failovers = maps.Clone(s.Failovers)
	for k, f := range c.Failovers {
		f.Moves = maps.Clone(f.Moves)
		c.Failovers[k] = f
	}
	return &c
}

// Touched names what differs between two states, "node:N" and "vm:V": requests
// about these that saw only the first are void.
func Touched(from, to *State) []string {
	var touched []string
	for n, m := range to.Members {
		if o, ok := from.Members[n]; !ok || !m.same(o) {
			touched = append(touched, "node:"+n)
		}
	}
	for n := range from.Members {
		if _, ok := to.Members[n]; !ok {
			touched = append(touched, "node:"+n)
		}
	}
	for n, v := range to.VMs {
		if from.VMs[n] != v {
			touched = append(touched, "vm:"+n)
		}
	}
	slices.Sort(touched)
	return touched
}

func (m Member) same(o Member) bool {
	if (m.Fence == nil) != (o.Fence == nil) || (m.Fence != nil && *m.Fence != *o.Fence) {
		return false
	}
	return m.Role == o.Role && m.Priority == o.Priority && m.Machine == o.Machine && m.Key == o.Key &&
		m.Admitted == o.Admitted && m.Proof == o.Proof && m.Maintenance == o.Maintenance &&
		m.HoldBack == o.HoldBack && m.Left == o.Left
}

// Candidate says whether the member may become master.
func (m Member) Candidate() bool { return m.Role == RoleCandidate || m.Role == RoleWitness }

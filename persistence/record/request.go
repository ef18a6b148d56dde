package record

import (
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// Actions that a request may ask for.
const (
	ActJoin          = "join"
	ActLeave         = "leave"
	ActPromote       = "promote"
	ActDemote        = "demote"
	ActPriority      = "priority"
	ActConfirmFenced = "confirm-fenced"
	ActUnfence       = "unfence"
	ActForget        = "forget"
	ActFreeze        = "freeze"
	ActArm           = "arm"
	ActTimings       = "timings"
	ActDebug         = "debug"
)

// How a leaving node treats its VMs.
const (
	LeaveFreeze = "freeze" // they run on, unmanaged
	LeaveMove   = "move"   // they are stopped and move to other hosts
	LeaveStop   = "stop"   // they are stopped and stay where they are
)

// Request is requests/<ulid>.json: what an operator, or a node, asks the master
// to do. It is bound to what its author saw: an entry after Seen that touches
// its node, or a claim, voids it.
type Request struct {
	Cluster string    `json:"cluster"`
	ID      string    `json:"id"`
	Action  string    `json:"action"`
	Seen    uint64    `json:"seen"` // ledger number its author saw; 0 for a join
	By      string    `json:"by"`
	Why     string    `json:"why,omitempty"`
	Time    time.Time `json:"time"`
	Node    string    `json:"node,omitempty"`
	// Incarnation of Node that the author saw; for leave, its own.
	Incarnation string `json:"incarnation,omitempty"`
	// Heartbeat is the number confirm-fenced speaks of; anything newer voids it.
	Heartbeat uint64   `json:"heartbeat,omitempty"`
	Force     bool     `json:"force,omitempty"`
	Priority  int      `json:"priority,omitempty"`
	Leave     string   `json:"leave,omitempty"`
	Join      *Join    `json:"join,omitempty"`
	Timings   *Timings `json:"timings,omitempty"`
	Debug     bool     `json:"debug,omitempty"` // on; else off
}

// Join is what a node that is not a member yet tells of itself.
type Join struct {
	Role     string `json:"role"`
	Priority int    `json:"priority"`
	Machine  string `json:"machine"`
	Key      string `json:"key"`
	URL      string `json:"url,omitempty"`
	Version  string `json:"version"`
}

// RequestKey is where a request lies.
func RequestKey(id string) string { return "requests/" + id + ".json" }

// OpenRequest reads a request of the cluster.
func OpenRequest(cluster, id string, data []byte) (*Request, error) {
	var r Request
	if err := Open(KindRequest, data, &r); err != nil {
		return nil, err
	}
	if r.ID != id || r.Cluster != cluster {
		return nil, fmt.Errorf("%w: request %q of cluster %q", ErrForeign, r.ID, r.Cluster)
	}
	return &r, nil
}

// NewID makes a unique name that sorts by the time it was made.
func NewID() string { return ulid.Make().String() }

package record

import (
	"fmt"
	"time"
)

// Kinds of records.
const (
	KindCluster   = "cluster"
	KindHeartbeat = "heartbeat"
	KindInventory = "inventory"
	KindRequest   = "request"
	KindEntry     = "entry"
)

// MaxHeartbeat is the largest sealed heartbeat, in bytes.
const MaxHeartbeat = 4 << 10

// What a node's silence proves about its VMs.
const (
	ProofNothing = "nothing"
	ProofElapsed = "elapsed"
)

// Cluster is cluster.json, made once by Create.
type Cluster struct {
	ID      string    `json:"id"`
	Format  int       `json:"format"`
	Founder string    `json:"founder"`
	Founded time.Time `json:"founded"`
}

// OpenCluster reads cluster.json.
func OpenCluster(data []byte) (*Cluster, error) {
	var c Cluster
	if err := Open(KindCluster, data, &c); err != nil {
		return nil, err
	}
	if c.ID == "" {
		return nil, fmt.Errorf("%w: a cluster without an id", ErrForeign)
	}
	return &c, nil
}

// Heartbeat is members/<node>.json: one writer, overwritten each interval.
type Heartbeat struct {
	Cluster     string `json:"cluster"`
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	Seq         uint64 `json:"seq"` // rises by one with each heartbeat of the incarnation
	State       string `json:"state"`
	// Epoch is that of the mastership the incarnation holds; 0 is none.
	Epoch uint64 `json:"epoch,omitempty"`
	// Released is the epoch that this node gives up, irrevocably; Successor,
	// if set, is who should claim first.
	Released  uint64 `json:"released,omitempty"`
	Successor string `json:"successor,omitempty"`
	// Over is the incarnation that this node held before and lost.
	Over string `json:"over,omitempty"`
	// Claims says whether the node would claim mastership (see --ha-mode and
	// --promotion).
	Claims bool `json:"claims"`
	// Ending: the node stops; its silence from here on is no surprise.
	Ending bool `json:"ending,omitempty"`
	// Inventory is the number of the node's newest inventory.
	Inventory  uint64    `json:"inventory,omitempty"`
	LedgerSeq  uint64    `json:"ledger_seq"`
	LedgerHash string    `json:"ledger_hash"`
	Timings    Timings   `json:"timings"`
	Proof      string    `json:"proof"`
	Machine    string    `json:"machine"`
	Boot       string    `json:"boot"`
	Version    string    `json:"version"`
	URL        string    `json:"url,omitempty"`
	Started    time.Time `json:"started"`
	Wall       time.Time `json:"wall"`
	Running    int       `json:"running"` // HA VMs that run here
	Alarm      string    `json:"alarm,omitempty"`
	// Unproved is why Proof is "nothing", for people.
	Unproved string `json:"unproved,omitempty"`
	// Held: the lease was held when this was written.
	Held bool `json:"held,omitempty"`
	// NoVMs: this host is given none now.
	NoVMs bool `json:"no_vms,omitempty"`
}

// HeartbeatKey is where a node's heartbeat lies.
func HeartbeatKey(node string) string { return "members/" + node + ".json" }

// OpenHeartbeat reads the heartbeat of the node, of the cluster.
func OpenHeartbeat(cluster, node string, data []byte) (*Heartbeat, error) {
	var hb Heartbeat
	if err := Open(KindHeartbeat, data, &hb); err != nil {
		return nil, err
	}
	switch {
	case hb.Node != node:
		return nil, fmt.Errorf("%w: the heartbeat of node %q in the place of %q", ErrForeign, hb.Node, node)
	case hb.Cluster != cluster:
		return nil, fmt.Errorf("%w: a heartbeat of cluster %q", ErrForeign, hb.Cluster)
	case hb.Incarnation == "" || hb.Seq == 0:
		return nil, fmt.Errorf("%w: a heartbeat without incarnation or number", ErrForeign)
	}
	return &hb, nil
}

// SealHeartbeat makes the record, at most MaxHeartbeat bytes.
func SealHeartbeat(hb *Heartbeat) ([]byte, error) {
	data, err := Seal(KindHeartbeat, hb)
	if err == nil && len(data) > MaxHeartbeat {
		err = fmt.Errorf("heartbeat of %s is %d bytes, %d are allowed", hb.Node, len(data), MaxHeartbeat)
	}
	return data, err
}

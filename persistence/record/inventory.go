package record

import (
	"fmt"
	"time"
)

// VM states, as a host's driver reports them.
const (
	VMRunning = "running"
	VMStopped = "stopped"
	VMUnknown = "unknown" // counts as running wherever safety asks
)

// Inventory is inventory/<node>.json: what a host has and runs. It is written
// when it changes, and when a failover asks for a fresh one.
type Inventory struct {
	Cluster     string `json:"cluster"`
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	Number      uint64 `json:"number"`
	// LedgerSeq is the newest entry that the node had read before it began to
	// ask its driver: an inventory is fresh for a failover journaled at or
	// before it.
	LedgerSeq uint64    `json:"ledger_seq"`
	Wall      time.Time `json:"wall"`
	// Complete: the driver answered. An empty list that is not complete says
	// nothing.
	Complete bool `json:"complete"`
	// VerifiedStopped: gate shut, no start unresolved, two successful fresh
	// queries found no HA VM running. Only a fresh, admitted-to-be incarnation
	// that may start nothing claims it.
	VerifiedStopped bool      `json:"verified_stopped,omitempty"`
	VMs             []HostVM  `json:"vms,omitempty"`
	Datasets        []Dataset `json:"datasets,omitempty"`
	Acks            []Ack     `json:"acks,omitempty"`
	// Provider: the host has a snapshot provider. DatasetsSeq is the newest entry
	// that the node had read before it began to ask it.
	Provider    bool   `json:"provider,omitempty"`
	DatasetsSeq uint64 `json:"datasets_seq,omitempty"`
	Problem     string `json:"problem,omitempty"` // why it is not complete
}

// HostVM is one VM as its host sees it.
type HostVM struct {
	Name       string `json:"name"`
	State      string `json:"state"`
	Generation uint64 `json:"generation,omitempty"` // under which it runs here
	Problem    string `json:"problem,omitempty"`    // why it does not start or stop
	// Closed is the newest generation that was closed here for good.
	Closed uint64 `json:"closed,omitempty"`
	// Datasets below are of this VM: it has a disk with snapshots here.
	Snapshots bool `json:"snapshots,omitempty"`
}

// Dataset is the disk of a VM on this host: the VM's own or a replica of it.
type Dataset struct {
	VM string `json:"vm"`
	// Generation is the VM's at which this host owned the disk when it listed
	// the snapshots; 0 for a replica.
	Generation uint64 `json:"generation,omitempty"`
	// Snapshots are ordered from the oldest to the newest, as the host made or
	// received them.
	Snapshots []Snapshot `json:"snapshots,omitempty"`
	// Written: the disk was written to since the newest of them.
	Written bool `json:"written,omitempty"`
}

// Snapshot is named by its guid, which is the same on every host.
type Snapshot struct {
	GUID    string    `json:"guid"`
	Created time.Time `json:"created"` // by the clock of the host that made it
}

// Ack says that a VM has stopped here for good under a generation: it was
// closed durably before the acknowledgement was written.
type Ack struct {
	Order       uint64 `json:"order"` // number of the ledger entry that ordered it
	Incarnation string `json:"incarnation"`
	VM          string `json:"vm"`
	Generation  uint64 `json:"generation"`
}

// InventoryKey is where a node's inventory lies.
func InventoryKey(node string) string { return "inventory/" + node + ".json" }

// OpenInventory reads the inventory of the node, of the cluster.
func OpenInventory(cluster, node string, data []byte) (*Inventory, error) {
	var inv Inventory
	if err := Open(KindInventory, data, &inv); err != nil {
		return nil, err
	}
	if inv.Node != node || inv.Cluster != cluster {
		return nil, fmt.Errorf("%w: the inventory of node %q of cluster %q", ErrForeign, inv.Node, inv.Cluster)
	}
	return &inv, nil
}

// Newer says whether everything in it was asked for after the entry was read.
func (i *Inventory) Newer(entry uint64) bool {
	return i != nil && i.LedgerSeq >= entry && (!i.Provider || i.DatasetsSeq >= entry)
}

// Stopped lists the VMs that the incarnation says are stopped.
func (i *Inventory) Stopped(incarnation string) []HostVM {
	var stopped []HostVM
	if i != nil && i.Complete && i.Incarnation == incarnation {
		for _, vm := range i.VMs {
			if vm.State == VMStopped {
				stopped = append(stopped, vm)
			}
		}
	}
	return stopped
}

// VM finds a VM by name; nil when the host does not have it.
func (i *Inventory) VM(name string) *HostVM {
	if i == nil {
		return nil
	}
	for k := range i.VMs {
		if i.VMs[k].Name == name {
			return &i.VMs[k]
		}
	}
	return nil
}

// Dataset finds the dataset of a VM; nil when the host has none.
func (i *Inventory) Dataset(vm string) *Dataset {
	if i == nil {
		return nil
	}
	for k := range i.Datasets {
		if i.Datasets[k].VM == vm {
			return &i.Datasets[k]
		}
	}
	return nil
}

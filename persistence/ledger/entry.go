package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Kinds of entries.
const (
	KindFound  = "found"  // the first entry of a cluster
	KindClaim  = "claim"  // a new mastership: the epoch rises by one
	KindDecide = "decide" // a decision of the master
	KindRepair = "repair" // the operator set a damaged history aside
	KindClose  = "close"  // the cluster moves to another store: nothing follows here
	KindOpen   = "open"   // it has moved here: this follows the closing entry
)

// Entry is one number of the ledger.
type Entry struct {
	Cluster string `json:"cluster"`
	Seq     uint64 `json:"seq"`
	// PrevSeq and Prev are the number and hash of the entry before: Seq - 1, or
	// the last good one for a repair, which leaps over all numbers remembered.
	PrevSeq     uint64    `json:"prev_seq"`
	Prev        string    `json:"prev"`
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Epoch       uint64    `json:"epoch"` // the fencing token
	Node        string    `json:"node"`  // the writer
	Incarnation string    `json:"incarnation"`
	Oldest      uint64    `json:"oldest"` // number still kept
	Time        time.Time `json:"time"`   // for people
	By          string    `json:"by"`
	Why         string    `json:"why"`
	// Touched names what the entry changed, "node:N" or "vm:V": requests about
	// these that saw less are void.
	Touched  []string `json:"touched,omitempty"`
	Requests []string `json:"requests,omitempty"` // executed by this entry
	Aside    []string `json:"aside,omitempty"`    // keys that a repair set aside
	State    State    `json:"state"`
}

// perFolder is how many entries lie in one folder.
const perFolder = 1000

// Folder is the root of the entries.
const Folder = "ledger"

// Key is where the entry of a number lies.
func Key(seq uint64) string { return fmt.Sprintf("%s/%020d.json", folder(seq/perFolder), seq) }

// seqOf reads the number from an entry's name; ok is false for other names.
func seqOf(name string) (seq uint64, ok bool) {
	digits, found := strings.CutSuffix(name, ".json")
	if !found || len(digits) != 20 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil && seq > 0 && seq < 1<<62 // room for a repair to leap
}

// Mark is a number of the ledger and the hash of its entry: what a node
// remembers and heartbeats carry.
type Mark struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// Stored is an entry as it was read.
type Stored struct {
	*Entry
	Hash string
}

// Mark gives its number and hash.
func (s Stored) Mark() Mark { return Mark{s.Seq, s.Hash} }

func (e *Entry) check(cluster string, seq uint64) error {
	switch {
	case e.Seq != seq:
		return fmt.Errorf("%w: entry %d in the place of %d", record.ErrForeign, e.Seq, seq)
	case cluster != "" && e.Cluster != cluster:
		return fmt.Errorf("%w: an entry of cluster %s", record.ErrForeign, e.Cluster)
	case e.PrevSeq >= e.Seq, e.Kind != KindRepair && e.PrevSeq != e.Seq-1:
		return fmt.Errorf("%w: entry %d follows %d", record.ErrForeign, e.Seq, e.PrevSeq)
	case e.ID == "" || e.Node == "" || e.State.Members == nil:
		return fmt.Errorf("%w: an entry without id, writer or members", record.ErrForeign)
	}
	return nil
}

package integration

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// judgement is the ledger judged from outside, entry by entry. It shares the
// records' format with the program and none of its rules.
type judgement struct {
	faults   []string
	claimed  map[uint64]string // epoch → who claimed it
	claimant ledger.Stored     // the newest claim
	tail     ledger.Stored
	owners   map[string]map[uint64]ledger.VM // VM → generation → what it was decided to be
}

func judge(entries []ledger.Stored) *judgement {
	j := &judgement{claimed: map[uint64]string{}, owners: map[string]map[uint64]ledger.VM{}}
	for i, e := range entries {
		if e.Seq != uint64(i)+1 {
			j.fault(e, "it stands at place %d", i+1)
		}
		j.chain(e)
		j.writer(e)
		j.vms(e)
		j.tail = e
	}
	return j
}

func (j *judgement) fault(e ledger.Stored, format string, args ...any) {
	j.faults = append(j.faults, fmt.Sprintf("ledger entry %d by %s: ", e.Seq, e.Node)+fmt.Sprintf(format, args...))
}

func (j *judgement) chain(e ledger.Stored) {
	before := j.tail
	if before.Entry == nil {
		if e.Kind != ledger.KindFound || e.PrevSeq != 0 || e.Epoch != 0 {
			j.fault(e, "the first entry is a %s of epoch %d after %d", e.Kind, e.Epoch, e.PrevSeq)
		}
		return
	}
	if e.PrevSeq != before.Seq || e.Prev != before.Hash {
		j.fault(e, "it does not continue entry %d", before.Seq)
	}
}

// writer: an epoch begins with a claim, and only who claimed it writes in it.
func (j *judgement) writer(e ledger.Stored) {
	switch {
	case e.Kind == ledger.KindFound && j.tail.Entry == nil:
	case e.Kind == ledger.KindClaim && !j.tail.State.Closed:
		if e.Epoch != j.tail.Epoch+1 {
			j.fault(e, "a claim of epoch %d after epoch %d", e.Epoch, j.tail.Epoch)
		}
		if e.State.Master != e.Node || e.State.Incarnation != e.Incarnation {
			j.fault(e, "it claims for %s", e.State.Master)
		}
		if other := j.claimed[e.Epoch]; other != "" {
			j.fault(e, "epoch %d was claimed by %s", e.Epoch, other)
		}
		j.claimed[e.Epoch], j.claimant = e.Node, e
	case e.Kind == ledger.KindClose, e.Kind == ledger.KindOpen:
		if e.Epoch != j.tail.Epoch || e.State.Master != "" || e.State.Closed != (e.Kind == ledger.KindClose) || j.tail.State.Closed == e.State.Closed {
			j.fault(e, "a %s: %+v", e.Kind, e.State)
		}
	case j.tail.State.Closed:
		j.fault(e, "the ledger was closed")
	case e.Kind != ledger.KindDecide:
		j.fault(e, "a %s", e.Kind)
	case e.Epoch != j.tail.Epoch:
		j.fault(e, "epoch %d after %d without a claim", e.Epoch, j.tail.Epoch)
	case j.claimant.Entry == nil || e.Node != j.claimant.Node || e.Incarnation != j.claimant.Incarnation:
		j.fault(e, "epoch %d was claimed by another", e.Epoch)
	}
}

// vms: a VM stays known, its generation never goes back, and under one
// generation it has one owner and one beginning.
func (j *judgement) vms(e ledger.Stored) {
	for _, vm := range slices.Sorted(maps.Keys(e.State.VMs)) {
		v := e.State.VMs[vm]
		if j.owners[vm] == nil {
			j.owners[vm] = map[uint64]ledger.VM{}
		}
		if before, known := j.owners[vm][v.Generation]; known && before != v {
			j.fault(e, "generation %d of %s changes from %+v to %+v", v.Generation, vm, before, v)
		}
		j.owners[vm][v.Generation] = v
	}
	if j.tail.Entry == nil {
		return
	}
	for vm, before := range j.tail.State.VMs {
		if v, known := e.State.VMs[vm]; !known || v.Generation < before.Generation {
			j.fault(e, "%s goes from generation %d to %d", vm, before.Generation, v.Generation)
		}
	}
}

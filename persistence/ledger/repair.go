package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// How far a repair leaps ahead: a node may remember more than any record that
// is left shows, and numbers cost nothing.
const (
	leapEntries     = 10 * perFolder
	leapEpochs      = 1000
	leapGenerations = 1000
)

// Numbers lists the entries that lie in the store, in order, one folder at a
// time: all of them, or the last ones only. It ends with the first error.
func Numbers(ctx context.Context, s persistence.Store, last int) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		folders, err := folders(ctx, s)
		if err != nil {
			yield(0, err)
			return
		}
		from, skip := 0, 0
		if last > 0 {
			for from = len(folders); from > 0 && last > 0; from-- {
				seqs, err := numbers(ctx, s, folders[from-1])
				if err != nil {
					yield(0, err)
					return
				}
				skip = max(len(seqs)-last, 0)
				last -= len(seqs)
			}
		}
		for _, f := range folders[from:] {
			seqs, err := numbers(ctx, s, f)
			if err != nil {
				yield(0, err)
				return
			}
			for _, seq := range seqs[min(skip, len(seqs)):] {
				if !yield(seq, nil) {
					return
				}
			}
			skip = 0
		}
	}
}

// Aside gives the keys of the entries that repairs have set aside, as of the
// tail.
func Aside(ctx context.Context, s persistence.Store, tail Stored) (map[string]bool, error) {
	aside := map[string]bool{}
	for at := tail.State.RepairSeq; at > 0; {
		repair, err := Read(ctx, s, tail.Cluster, at)
		if err != nil {
			return aside, err
		}
		for _, key := range repair.Aside {
			aside[key] = true
		}
		if repair.PrevSeq == 0 {
			break
		}
		before, err := Read(ctx, s, tail.Cluster, repair.PrevSeq)
		if err != nil {
			return aside, err
		}
		at = before.State.RepairSeq
	}
	return aside, nil
}

// link is what a survey keeps of each readable entry.
type link struct {
	prev   uint64
	hash   string
	length int      // of the good chain that ends here
	leapt  uint64   // number of the newest repair on that chain; 0 is none
	aside  []string // of a repair
}

// better says whether the chain that ends here is to be continued rather than
// another: an operator's repair has chosen it, or else it is as long.
func (l link) better(o link) bool {
	if l.leapt != o.leapt {
		return l.leapt > o.leapt
	}
	return l.length >= o.length
}

// Survey is what a walk over everything in the ledger's folders found.
type Survey struct {
	Entries int    // that lie there
	Last    uint64 // highest number, readable or not
	Newest  uint64 // highest number that can be read; 0 is none
	// End is the last entry of the longest good chain, among those that continue
	// the newest repair if there is one; its Entry is nil when nothing can be
	// read. Length counts that chain's entries.
	End    Stored
	Length int
	// Aside are the keys of the entries that do not lie on that chain and were
	// not set aside by a repair on it. Bad says what is wrong with the chain.
	Aside []string
	Bad   []*HistoryError

	epoch       uint64
	generations map[string]uint64
	vms         map[string]VM // as the newest readable entry that knows them says
	keys        []string      // of all entries, in order
	links       map[uint64]link
}

// Walk reads every entry. One that cannot be read is told in the survey and
// stops nothing.
func Walk(ctx context.Context, s persistence.Store, cluster string) (*Survey, error) {
	w := &Survey{generations: map[string]uint64{}, vms: map[string]VM{}, links: map[uint64]link{}}
	var end uint64
	var bad []*HistoryError
	for seq, err := range Numbers(ctx, s, 0) {
		if err != nil {
			return nil, err
		}
		w.Entries++
		w.Last = seq
		w.keys = append(w.keys, Key(seq))
		e, err := Read(ctx, s, cluster, seq)
		if h, ok := errors.AsType[*HistoryError](err); ok {
			bad = append(bad, h)
			continue
		}
		if err != nil {
			return nil, err
		}
		if l := w.take(e, &bad); l.better(w.links[end]) {
			w.Length, end = l.length, seq
		}
	}
	if end == 0 {
		w.Aside = w.keys
		w.report(bad, nil)
		return w, nil
	}
	var err error
	if w.End, err = Read(ctx, s, cluster, end); err != nil {
		return nil, err
	}
	w.Aside = w.off(end)
	w.report(bad, w.before(end))
	return w, nil
}

// take adds a readable entry to the chain that it continues.
func (w *Survey) take(e Stored, bad *[]*HistoryError) link {
	w.Newest = e.Seq
	w.epoch = max(w.epoch, e.Epoch)
	for vm, v := range e.State.VMs {
		w.vms[vm] = v
		w.generations[vm] = max(w.generations[vm], v.Generation)
	}
	l := link{prev: e.PrevSeq, hash: e.Hash, length: 1, aside: e.Aside}
	switch before, ok := w.links[e.PrevSeq]; {
	case ok && before.hash == e.Prev:
		l.length, l.leapt = before.length+1, before.leapt
	case ok:
		*bad = append(*bad, &HistoryError{Key: Key(e.Seq), Why: fmt.Sprintf("it does not continue entry %d: the chain is broken", e.PrevSeq)})
	case e.PrevSeq > 0:
		*bad = append(*bad, &HistoryError{Key: Key(e.Seq), Why: fmt.Sprintf("entry %d before it is missing or unreadable", e.PrevSeq)})
	}
	if e.Kind == KindRepair {
		l.leapt = e.Seq
	}
	w.links[e.Seq] = l
	return l
}

// chain goes back from an entry along good links.
func (w *Survey) chain(end uint64) iter.Seq2[uint64, link] {
	return func(yield func(uint64, link) bool) {
		for at, l := end, w.links[end]; l.length > 0; at, l = l.prev, w.links[l.prev] {
			if !yield(at, l) || l.length == 1 {
				return
			}
		}
	}
}

// before collects what repairs on the chain have set aside already.
func (w *Survey) before(end uint64) map[string]bool {
	aside := map[string]bool{}
	for _, l := range w.chain(end) {
		for _, key := range l.aside {
			aside[key] = true
		}
	}
	return aside
}

// off gives the keys that neither lie on the chain nor were set aside on it.
func (w *Survey) off(end uint64) []string {
	on := w.before(end)
	for seq := range w.chain(end) {
		on[Key(seq)] = true
	}
	return slices.DeleteFunc(slices.Clone(w.keys), func(key string) bool { return on[key] })
}

func (w *Survey) report(bad []*HistoryError, aside map[string]bool) {
	for _, h := range bad {
		if !aside[h.Key] {
			w.Bad = append(w.Bad, h)
		}
	}
}

// Conflicts says whether a mark that somebody remembers contradicts the
// longest good chain: it lies beyond its end, or another entry stands there. A
// number that a repair on the chain has leapt over does not.
func (w *Survey) Conflicts(m Mark) bool {
	if m.Seq == 0 || w.End.Entry == nil {
		return m.Seq > 0
	}
	for seq, l := range w.chain(w.End.Seq) {
		switch {
		case seq == m.Seq:
			return l.hash != m.Hash
		case seq < m.Seq:
			// Between this entry and the one after it, or beyond the end.
			return seq == w.End.Seq
		case l.length == 1 && l.leapt == seq:
			return m.Seq <= l.prev // a repair that begins the chain anew
		}
	}
	return true
}

// Evidence is what is left of the history outside of the ledger.
type Evidence struct {
	Heartbeats  []*record.Heartbeat
	Inventories map[string]*record.Inventory // by node
	// Mark and Closed are a node's local memory: the newest entry it has seen,
	// and the generations that are closed on it.
	Mark   Mark
	Closed func(vm string) uint64 // may be nil
}

// Marks are all that is remembered of the ledger.
func (ev Evidence) Marks() []Mark {
	marks := []Mark{ev.Mark}
	for _, hb := range ev.Heartbeats {
		marks = append(marks, Mark{hb.LedgerSeq, hb.LedgerHash})
	}
	return marks
}

// Repair makes the entry that continues the longest good chain with the state
// of from, above everything remembered. It continues the chain's last entry
// that nobody's memory contradicts, so that every reader accepts it. The
// caller fills in who asked, why and when.
//
// Nobody is master, admitted or fenced after it, and nothing is armed: what
// runs where is learned from the members when each has joined.
func (w *Survey) Repair(from Stored, ev Evidence) *Entry {
	top := max(w.Last, ev.Mark.Seq)
	epoch := w.epoch
	for _, hb := range ev.Heartbeats {
		top, epoch = max(top, hb.LedgerSeq), max(epoch, hb.Epoch, hb.Released)
	}
	seq := top/perFolder*perFolder + leapEntries
	base := w.base(ev.Marks())
	s := from.State.Clone()
	s.VMs = w.lift(from, ev)
	s.Master, s.Incarnation, s.Armed, s.Failovers = "", "", false, nil
	s.Repair, s.RepairSeq = map[string]bool{}, seq
	for name, m := range s.Members {
		s.Repair[name] = true
		m.Admitted, m.Proof, m.Left, m.LeftBy = "", "", "", ""
		// A fence without its failover would never end.
		m.Fence = nil
		s.Members[name] = m
	}
	return &Entry{
		Cluster: from.Cluster, Seq: seq, PrevSeq: base.Seq, Prev: base.Hash, ID: record.NewID(), Kind: KindRepair,
		Epoch: epoch + leapEpochs, Oldest: from.Oldest, Touched: Touched(&from.State, s),
		Aside: w.off(base.Seq), State: *s,
	}
}

// base is the chain's last entry that lies before every mark which contradicts
// the chain: whoever remembers such a mark sees the repair leap over it. Where
// there is none the chain begins anew.
func (w *Survey) base(marks []Mark) Mark {
	below := w.End.Seq + 1
	for _, m := range marks {
		if m.Seq > 0 && w.Conflicts(m) {
			below = min(below, m.Seq)
		}
	}
	for seq, l := range w.chain(w.End.Seq) {
		if seq < below {
			return Mark{seq, l.hash}
		}
	}
	return Mark{}
}

// lift gives every VM that anything knows of a generation above any that
// anything remembers. A host that had it under a newer generation than the entries
// know has its disk: it is the owner.
func (w *Survey) lift(from Stored, ev Evidence) map[string]VM {
	vms := maps.Clone(w.vms)
	maps.Copy(vms, from.State.VMs)
	top := maps.Clone(w.generations)
	for _, node := range slices.Sorted(maps.Keys(ev.Inventories)) {
		inv := ev.Inventories[node]
		if inv == nil {
			continue
		}
		saw := func(vm string, generation uint64, runs bool) {
			_, known := vms[vm]
			if !known && runs && generation > 0 {
				// Its entries are lost; that a host ran it is all that is left.
				vms[vm] = VM{Owner: node, Disk: inv.Dataset(vm) != nil}
			}
			top[vm] = max(top[vm], generation)
		}
		had := func(vm string, generation uint64) {
			if v, known := vms[vm]; known && generation > v.Generation {
				vms[vm] = VM{Owner: node, Generation: generation, Disk: v.Disk || inv.Dataset(vm) != nil}
			}
		}
		for _, vm := range inv.VMs {
			saw(vm.Name, vm.Generation, vm.State != record.VMStopped)
			had(vm.Name, vm.Generation)
		}
		for _, ds := range inv.Datasets {
			saw(ds.VM, ds.Generation, false)
			had(ds.VM, ds.Generation)
		}
		for _, ack := range inv.Acks {
			saw(ack.VM, ack.Generation, false)
		}
	}
	for name, v := range vms {
		if ev.Closed != nil {
			top[name] = max(top[name], ev.Closed(name))
		}
		if v.Restore && w.began(name, v, from, ev) {
			// Its owner has the disk: a restart there rolls nothing back.
			v.Restore = false
		}
		v.Generation = top[name] + leapGenerations
		vms[name] = v
	}
	return vms
}

// began says whether the owner has made the disk of this generation already,
// as the failover that gave it the VM, or its own inventory, tells.
func (w *Survey) began(name string, v VM, from Stored, ev Evidence) bool {
	placed := false
	for _, f := range from.State.Failovers {
		mv, ok := f.Moves[name]
		placed = placed || (ok && mv.Phase == MovePlaced && mv.To == v.Owner)
	}
	if !placed {
		return true
	}
	inv := ev.Inventories[v.Owner]
	host, ds := inv.VM(name), inv.Dataset(name)
	return (host != nil && host.Generation >= v.Generation) || (ds != nil && ds.Generation >= v.Generation)
}

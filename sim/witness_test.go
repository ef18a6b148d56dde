package sim

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// witness is what one process was answered about the others. By it the rules tell,
// from outside of the program, whether it knew what it decided.
type witness struct {
	mu       sync.Mutex
	silences map[string]*silence
	entries  map[string]bool          // that were read, by their keys
	verified map[incarnationOf]uint64 // with the newest entry that such an inventory had read
	acks     map[ackOf]bool
}

type incarnationOf struct{ node, id string }

// ackOf is an acknowledgement, and whose inventory carried it.
type ackOf struct {
	incarnationOf
	record.Ack
}

// silence is what was read of a node's heartbeats.
type silence struct {
	raw    string
	node   track
	epochs map[uint64]*track // of the masterships that they carried
}

// track is for how long nothing new was read: from the end of the read that brought
// the latest news to the beginning of the latest read.
type track struct {
	now     stretch
	earlier []stretch // long ones that have ended
}

type stretch struct{ since, until time.Duration }

func (s stretch) lasted() time.Duration { return s.until - s.since }

// longEnough is what may have been judged; shorter stretches are not kept.
const longEnough = 4 * time.Second

// news ends a stretch and begins the next.
func (t *track) news(ended time.Duration) {
	if t.now.lasted() >= longEnough {
		t.earlier = append(t.earlier, t.now)
	}
	t.now = stretch{ended, ended}
}

// silent is for how long there was nothing new when that was judged: now, or so
// lately that what was decided by it may still have been under way at that instant.
func (t *track) silent(at, within time.Duration) time.Duration {
	lasted := t.now.lasted()
	for _, e := range slices.Backward(t.earlier) {
		if e.until < at-within {
			break
		}
		lasted = max(lasted, e.lasted())
	}
	return lasted
}

// read takes in an answered read; of what failed otherwise nothing is known.
func (x *witness) read(w *world, key string, value []byte, err error, begun, ended time.Duration) {
	if err != nil && !errors.Is(err, persistence.ErrNotFound) {
		return
	}
	folder, file, _ := strings.Cut(key, "/")
	node := strings.TrimSuffix(file, ".json")
	x.mu.Lock()
	defer x.mu.Unlock()
	switch folder {
	case ledger.Folder:
		if x.entries == nil {
			x.entries = map[string]bool{}
		}
		x.entries[key] = x.entries[key] || err == nil
	case "members":
		x.heartbeat(w, node, string(value), begun, ended)
	case "inventory":
		if inv := w.sent.inventory(value); inv != nil {
			x.inventory(inv)
		}
	}
}

func (x *witness) heartbeat(w *world, node, raw string, begun, ended time.Duration) {
	if x.silences == nil {
		x.silences = map[string]*silence{}
	}
	s, known := x.silences[node]
	if !known {
		s = &silence{epochs: map[uint64]*track{}}
		x.silences[node] = s
	}
	for _, e := range s.epochs {
		e.now.until = begun
	}
	if known && raw == s.raw {
		s.node.now.until = begun
		return
	}
	s.raw = raw
	s.node.news(ended)
	if e, carries := w.sent.epochs.Load(raw); carries {
		epoch := e.(uint64)
		if s.epochs[epoch] == nil {
			s.epochs[epoch] = &track{}
		}
		s.epochs[epoch].news(ended)
	}
}

func (x *witness) inventory(inv *record.Inventory) {
	if x.verified == nil {
		x.verified, x.acks = map[incarnationOf]uint64{}, map[ackOf]bool{}
	}
	of := incarnationOf{inv.Node, inv.Incarnation}
	if inv.Complete && inv.VerifiedStopped {
		x.verified[of] = max(x.verified[of], inv.LedgerSeq)
	}
	for _, a := range inv.Acks {
		x.acks[ackOf{of, a}] = true
	}
}

// records are what was sent, so that what many read is taken apart once.
type records struct {
	epochs      sync.Map // that heartbeats carry, by their bytes
	inventories sync.Map // *record.Inventory, by their bytes
}

// inventory takes one apart; nil if that cannot be done.
func (r *records) inventory(value []byte) *record.Inventory {
	if inv, ok := r.inventories.Load(string(value)); ok {
		return inv.(*record.Inventory)
	}
	inv := new(record.Inventory)
	if record.Open(record.KindInventory, value, inv) != nil {
		inv = nil
	}
	r.inventories.Store(string(value), inv)
	return inv
}

// testimony is what a process had been answered when it sent an entry.
type testimony struct {
	at       time.Duration
	witness  *witness
	silences map[string]silence
}

// sends notes that a process sends an entry, for the first time.
func (p *proc) sends(key string, value []byte) {
	if !strings.HasPrefix(key, ledger.Folder) {
		return
	}
	x := &p.witness
	x.mu.Lock()
	t := testimony{p.clock.now(), x, map[string]silence{}}
	for n, s := range x.silences {
		c := *s
		c.epochs = map[uint64]*track{}
		for e, k := range s.epochs {
			copied := *k
			c.epochs[e] = &copied
		}
		t.silences[n] = c
	}
	x.mu.Unlock()
	w := p.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ledger.testimonies == nil {
		w.ledger.testimonies = map[string]testimony{}
	}
	if hash := record.Hash(value); w.ledger.testimonies[hash].witness == nil {
		w.ledger.testimonies[hash] = t
	}
}

// given is the entry that gave a VM its owner or generation.
type given struct {
	key   string
	maker *witness
}

// gives notes what an entry gives to whom.
func (l *ledgerRules) gives(prev, e *ledger.Entry, key string, t testimony) {
	if l.given == nil {
		l.given = map[string]given{}
	}
	for name, v := range e.State.VMs {
		if was := prev.State.VMs[name]; was.Owner != v.Owner || was.Generation != v.Generation {
			l.given[name] = given{key, t.witness}
		}
	}
}

// readBack: nobody starts a VM by an entry of its own that it has not read back: it
// may lie in another store. The world's lock is held.
func (l *ledgerRules) readBack(p *proc, name string) {
	by := l.given[name]
	if by.maker != &p.witness {
		return
	}
	by.maker.mu.Lock()
	defer by.maker.mu.Unlock()
	if !by.maker.entries[by.key] {
		l.w.violated("gate", "%s starts %s by %s, which it has made and not read back", p.h.name, name, by.key)
	}
}

// knew: who wrote an entry had been answered what the entry builds on.
func (l *ledgerRules) knew(prev, e *ledger.Entry, t testimony) {
	if t.witness == nil {
		return
	}
	w := l.w
	timeout := min(l.timeout, prev.State.Timings.Timeout)
	l.timeout = prev.State.Timings.Timeout
	if e.Kind == ledger.KindClaim && strings.Contains(e.Why, "was silent") {
		if s := t.silences[prev.State.Master].epochs[prev.Epoch]; s != nil && s.silent(t.at, timeout) < timeout {
			w.violated("silence", "entry %d claims over %s, which %s knew to be silent for %s", e.Seq, prev.State.Master, e.Node, s.silent(t.at, timeout))
		}
	}
	for _, n := range sortedKeys(e.State.Members) {
		was, is := prev.State.Members[n], e.State.Members[n]
		s := t.silences[n]
		lasted := s.node.silent(t.at, timeout)
		fenced := is.Fence != nil && (was.Fence == nil || was.Fence.Order != is.Fence.Order) && strings.Contains(is.Fence.Why, "no sign of life")
		elapsed := is.Fence != nil && is.Fence.Proof == ledger.ProvedElapsed && (was.Fence == nil || was.Fence.Proof == "")
		if (fenced || elapsed) && lasted < timeout {
			w.violated("silence", "entry %d fences %s, which %s knew to be silent for %s", e.Seq, n, e.Node, lasted)
		}
		if was.Fence != nil && was.Fence.Proof != "" && is.Fence == nil {
			t.witness.mu.Lock()
			read, verified := t.witness.verified[incarnationOf{n, is.Admitted}]
			t.witness.mu.Unlock()
			if !verified || read < was.Fence.Proved {
				w.violated("return", "entry %d admits %s to %s, and %s was not told that nothing runs there", e.Seq, is.Admitted, n, e.Node)
			}
		}
	}
	for _, n := range sortedKeys(e.State.Failovers) {
		for _, name := range sortedKeys(e.State.Failovers[n].Moves) {
			mv, old := e.State.Failovers[n].Moves[name], prev.State.Failovers[n].Moves[name]
			if !mv.Acked || old.Acked && old.Generation == mv.Generation {
				continue
			}
			id := prev.State.Members[n].Admitted
			t.witness.mu.Lock()
			told := t.witness.acks[ackOf{incarnationOf{n, id}, record.Ack{
				Order: prev.State.Failovers[n].Order, Incarnation: id, VM: name, Generation: prev.State.VMs[name].Generation,
			}}]
			t.witness.mu.Unlock()
			if !told {
				w.violated("acknowledgement", "entry %d takes %s for acknowledged, and %s was not told so by %s for this order", e.Seq, name, e.Node, id)
			}
		}
	}
}

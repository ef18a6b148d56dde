package sim

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// ledgerRules hold each entry against the one before it and against what really
// runs. The store's lock guards it; tail may be read by all.
type ledgerRules struct {
	w        *world
	tail     atomic.Pointer[ledger.Entry]
	hash     string
	hashes   map[string]bool   // of all entries there are
	executed map[string]uint64 // requests, by the entry that executed them
	admitted map[string]bool   // incarnations that an entry has admitted
	denied   map[string]bool   // entries of which a daemon has said that they were not made
	// testimonies of those who sent entries, by the hash of these.
	testimonies map[string]testimony
	timeout     time.Duration    // of the state before the newest
	given       map[string]given // VMs
}

// state is the newest decided state, an empty one before there is any.
func (l *ledgerRules) state() ledger.State {
	if e := l.tail.Load(); e != nil {
		return e.State
	}
	return ledger.State{}
}

// candidateBut says whether another member may become master.
func (l *ledgerRules) candidateBut(node string) bool {
	for n, m := range l.state().Members {
		if n != node && m.Candidate() {
			return true
		}
	}
	return false
}

func (l *ledgerRules) owner(vm string) string { return l.state().VMs[vm].Owner }

// landed notes an entry that lies in a store, whichever.
func (l *ledgerRules) landed(value []byte) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.hashes == nil {
		l.hashes = map[string]bool{}
	}
	l.hashes[record.Hash(value)] = true
}

// follows: nobody tells of an entry that has not been made.
func (l *ledgerRules) follows(p *proc, hash string) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if hash != "" && !l.hashes[hash] {
		l.w.violated("history", "%s follows an entry that was not made", p.h.name)
	}
}

// made is called for each entry that has been made, in the order of making.
func (l *ledgerRules) made(key string, value []byte, who string) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	var e ledger.Entry
	if err := record.Open(record.KindEntry, value, &e); err != nil {
		w.violated("history", "%s made an entry that cannot be read: %v", who, err)
		return
	}
	w.decide("entry %d %s epoch %d by %s: %s", e.Seq, e.Kind, e.Epoch, e.Node, e.Why)
	prev := l.tail.Load()
	switch {
	case ledger.Key(e.Seq) != key:
		w.violated("history", "entry %d lies at %s", e.Seq, key)
	case prev == nil && (e.Seq != 1 || e.Kind != ledger.KindFound || e.Epoch != 0):
		w.violated("history", "the first entry is %d, %s, epoch %d", e.Seq, e.Kind, e.Epoch)
	case prev != nil && e.Kind == ledger.KindRepair:
		l.repaired(prev, &e)
	case prev != nil && (e.Seq != prev.Seq+1 || e.PrevSeq != prev.Seq || e.Prev != l.hash || e.Cluster != prev.Cluster):
		w.violated("history", "entry %d of %s does not continue entry %d", e.Seq, e.Node, prev.Seq)
	}
	if prev != nil && e.Kind != ledger.KindRepair {
		l.written(prev, &e)
		l.ownership(prev, &e)
		l.proofs(prev, &e)
		t := l.testimonies[record.Hash(value)]
		l.knew(prev, &e, t)
		l.gives(prev, &e, key, t)
	}
	l.requests(&e)
	l.kept(&e)
	if l.admitted == nil {
		l.admitted = map[string]bool{}
	}
	for _, m := range e.State.Members {
		l.admitted[m.Admitted] = true
	}
	w.stats.entries++
	l.tail.Store(&e)
	l.hash = record.Hash(value)
	w.note("    members %s", members(&e.State))
}

// written: only a listed candidate claims, and only the master decides.
func (l *ledgerRules) written(prev, e *ledger.Entry) {
	w, s := l.w, prev.State
	if s.Closed && e.Kind != ledger.KindOpen {
		w.violated("move", "entry %d, a %s of %s, follows the closing one", e.Seq, e.Kind, e.Node)
	}
	switch e.Kind {
	case ledger.KindClaim:
		w.stats.claims++
		if m, ok := s.Members[e.Node]; !ok || !m.Candidate() {
			w.violated("claim", "entry %d: %s claims and is no listed candidate", e.Seq, e.Node)
		}
		if e.Epoch != prev.Epoch+1 || e.State.Master != e.Node || e.State.Incarnation != e.Incarnation {
			w.violated("claim", "entry %d: epoch %d after %d, master %s", e.Seq, e.Epoch, prev.Epoch, e.State.Master)
		}
		if h := w.hosts[s.Master]; h != nil && s.Master != e.Node && strings.Contains(e.Why, "by force") {
			h.tainted = true
		}
	case ledger.KindDecide:
		if e.Epoch != prev.Epoch || e.Node != s.Master || e.Incarnation != s.Incarnation {
			w.violated("claim", "entry %d is written by %s, epoch %d; the master is %s, epoch %d", e.Seq, e.Node, e.Epoch, s.Master, prev.Epoch)
		}
		if e.State.Master != s.Master || e.State.Incarnation != s.Incarnation {
			w.violated("claim", "entry %d changes the master without a claim", e.Seq)
		}
	case ledger.KindClose, ledger.KindOpen:
		if e.State.Closed {
			w.closed = w.now()
		}
		if e.Epoch != prev.Epoch || e.State.Master != "" || e.State.Closed != (e.Kind == ledger.KindClose) || s.Closed == e.State.Closed || !s.Frozen {
			w.violated("move", "entry %d is a %s; master %q, closed %t, after closed %t, frozen %t", e.Seq, e.Kind, e.State.Master, e.State.Closed, s.Closed, s.Frozen)
		}
	default:
		w.violated("history", "entry %d is of kind %s", e.Seq, e.Kind)
	}
}

// ownership: generations never fall, and a VM leaves its owner only with its
// acknowledgement or with its fence proved, and when it has really stopped there.
func (l *ledgerRules) ownership(prev, e *ledger.Entry) {
	w := l.w
	for _, name := range sortedKeys(prev.State.VMs) {
		was := prev.State.VMs[name]
		is, ok := e.State.VMs[name]
		switch {
		case !ok:
			w.violated("ownership", "entry %d forgets %s", e.Seq, name)
			continue
		case is.Generation < was.Generation:
			w.violated("ownership", "entry %d: %s goes from generation %d down to %d", e.Seq, name, was.Generation, is.Generation)
		case is.Owner == was.Owner:
			continue
		case is.Generation <= was.Generation:
			w.violated("ownership", "entry %d: %s goes to %s without a new generation", e.Seq, name, is.Owner)
		}
		w.stats.moves++
		// The proof may stand in the very entry that makes use of it.
		before, now := prev.State.Members[was.Owner].Fence, e.State.Members[was.Owner].Fence
		proved := (before != nil && before.Proof != "") || (now != nil && now.Proof != "")
		if !prev.State.Failovers[was.Owner].Moves[name].Acked && !proved {
			w.violated("ownership", "entry %d: %s leaves %s without an acknowledgement or a proof", e.Seq, name, was.Owner)
		}
		if m := e.State.Members[is.Owner]; m.Fence != nil || m.Role == ledger.RoleWitness {
			w.violated("ownership", "entry %d: %s goes to %s, which cannot run it", e.Seq, name, is.Owner)
		}
		l.stopped(e, was.Owner, name, "goes to "+is.Owner)
		l.placed(prev, e, name)
	}
}

// stopped: the VM neither runs on the host nor may come up there any more.
func (l *ledgerRules) stopped(e *ledger.Entry, node, name, what string) {
	h := l.w.hosts[node]
	v := h.vms[name]
	switch {
	case v == nil:
	case v.running:
		l.w.violated("proof", "entry %d: %s %s while it runs on %s", e.Seq, name, what, node)
	case v.supervisor != nil && !h.spec.self:
		l.w.violated("proof", "entry %d: %s %s while its supervisor on %s is about to bring it back", e.Seq, name, what, node)
	case !h.spec.self && h.starting(name):
		l.w.violated("proof", "entry %d: %s %s while a start of it on %s is under way", e.Seq, name, what, node)
	}
}

// proofs: what is written down as proved or acknowledged is true, and a node is
// fenced for its own silence alone.
func (l *ledgerRules) proofs(prev, e *ledger.Entry) {
	w := l.w
	for _, n := range sortedKeys(e.State.Members) {
		was, is := prev.State.Members[n].Fence, e.State.Members[n].Fence
		if is == nil {
			continue
		}
		if was == nil || was.Order != is.Order {
			w.stats.fences++
			l.silence(prev, e, n, is)
			if prev.State.Frozen && e.State.Frozen && !strings.Contains(is.Why, "operator") {
				w.violated("frozen", "entry %d fences %s while the cluster is frozen", e.Seq, n)
			}
		}
		if is.Proof != "" && (was == nil || was.Proof == "" || was.Order != is.Order) {
			for _, name := range sortedKeys(prev.State.VMs) {
				if prev.State.VMs[name].Owner == n {
					l.stopped(e, n, name, "is taken to have stopped ("+is.Proof+")")
				}
			}
			l.passed(e, n, is)
			if is.Proof == ledger.ProvedElapsed && !l.readable(n) {
				w.violated("proof", "entry %d: the silence of %s is taken for a proof, and its record could not be read", e.Seq, n)
			}
		}
	}
	for _, n := range sortedKeys(e.State.Failovers) {
		for _, name := range sortedKeys(e.State.Failovers[n].Moves) {
			mv := e.State.Failovers[n].Moves[name]
			if old := prev.State.Failovers[n].Moves[name]; mv.Acked && (!old.Acked || old.Generation != mv.Generation) {
				w.stats.acks++
				l.stopped(e, n, name, "is taken to be acknowledged")
			}
		}
	}
}

// passed: the deadline that the silent incarnation handed its VMs has passed when
// time is taken for a proof.
func (l *ledgerRules) passed(e *ledger.Entry, n string, f *ledger.Fence) {
	h := l.w.hosts[n]
	if f.Proof != ledger.ProvedElapsed || !h.on || !h.spec.self || h.proc == nil || h.proc.memory.Incarnation() != f.Incarnation {
		return
	}
	if h.limit == vmctl.NoDeadline || h.clock.now() < h.limit {
		l.w.violated("proof", "entry %d: the silence of %s is taken for a proof before the deadline of its VMs", e.Seq, n)
	}
}

// readable: what lay under the node's name lately was a heartbeat of it, at least for
// a while. The store's lock is held.
func (l *ledgerRules) readable(n string) bool {
	for _, v := range slices.Backward(l.w.store.versions[record.HeartbeatKey(n)]) {
		if _, err := record.OpenHeartbeat(l.tail.Load().Cluster, n, v.value); err == nil {
			return true
		}
		if v.at < l.w.now()-known {
			return false
		}
	}
	return false
}

// silence: nobody is fenced for an outage that was common to all.
func (l *ledgerRules) silence(prev, e *ledger.Entry, n string, f *ledger.Fence) {
	w := l.w
	if strings.Contains(f.Why, "operator") {
		return
	}
	t := prev.State.Timings.Timeout
	well := w.now() - max(w.hosts[n].healthySince(), w.hosts[e.Node].healthySince())
	if well >= t+2*time.Second {
		w.violated("common outage", "entry %d fences %s, and neither it nor %s has had trouble of its own for %s", e.Seq, n, e.Node, well)
	}
}

// requests: each is executed once.
func (l *ledgerRules) requests(e *ledger.Entry) {
	if l.executed == nil {
		l.executed = map[string]uint64{}
	}
	for _, id := range e.Requests {
		if at, done := l.executed[id]; done {
			l.w.violated("request", "entry %d executes %s, and so did entry %d", e.Seq, id, at)
		}
		l.executed[id] = e.Seq
	}
}

// mayRun: a VM comes up only where the newest entry says; the lock is held.
func (l *ledgerRules) mayRun(h *host, name string, generation uint64) {
	s := l.state()
	if v := s.VMs[name]; v.Owner != h.name {
		l.w.violated("gate", "%s comes up on %s under generation %d, and belongs to %q under %d", name, h.name, generation, v.Owner, v.Generation)
	}
	if !s.Armed {
		l.w.violated("gate", "%s comes up on %s before the cluster was armed", name, h.name)
	}
}

// mayStart: a start is issued only under an incarnation that was admitted, while
// the lease is held. No time passes between the gate's look and this one.
func (l *ledgerRules) mayStart(p *proc, name string, generation uint64) {
	_, held := p.node.Lease()
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if id := p.memory.Incarnation(); !l.admitted[id] || !held {
		l.w.violated("gate", "%s starts %s without a lease (%t) or under an incarnation that no entry admitted (%s)", p.h.name, name, held, id)
	}
	l.readBack(p, name)
	if closed := p.memory.Closed(name); closed >= generation {
		l.w.violated("gate", "%s starts %s under generation %d; it has closed %d for good", p.h.name, name, generation, closed)
	}
}

func members(s *ledger.State) string {
	var all []string
	for _, n := range sortedKeys(s.Members) {
		m := s.Members[n]
		text := n
		if m.Proof == record.ProofElapsed {
			text += " elapsed"
		}
		if m.Fence != nil {
			text += " fenced(" + m.Fence.Proof + ")"
		}
		if m.Left != "" {
			text += " left(" + m.Left + ")"
		}
		all = append(all, text)
	}
	for _, n := range sortedKeys(s.VMs) {
		all = append(all, n+"@"+s.VMs[n].Owner)
	}
	if s.Frozen {
		all = append(all, "frozen")
	}
	return strings.Join(slices.Compact(all), ", ")
}

package failover

import (
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// members admits new incarnations, ends or keeps their fences, and takes over
// what their heartbeats declare.
func (p *plan) members() {
	for _, n := range sorted(p.s.Members) {
		k, m := p.node(n), p.s.Members[n]
		if k.Standing == lease.Unreadable && m.Admitted != "" {
			p.alarm("the heartbeat of %s is unreadable: %v", n, k.Problem)
		}
		if k.Standing == lease.Alive && k.Last.Over != "" && !k.Last.Held && !k.Last.Ending && n != p.Self {
			p.alarm("%s lives and holds no lease: it cannot read the ledger, or its renewals are not answered", n)
		}
		// Two numbers of the same incarnation: somebody lives there, and writes.
		if k.Standing != lease.Alive || k.Last == nil || k.Numbers < 2 || k.Last.Ending {
			continue
		}
		if !k.Last.Held && n != p.Self {
			continue
		}
		if k.Last.Incarnation != m.Admitted || before(m, k.Last.Incarnation) {
			p.returned(n, k.Last)
		} else {
			p.goesOn(n, k.Last)
		}
	}
}

// before: the incarnation was admitted by its own claim, and what barred the
// node is of an earlier one.
func before(m ledger.Member, incarnation string) bool {
	return (m.Fence != nil && m.Fence.Proof != "" && m.Fence.Incarnation != incarnation) ||
		(m.Left != "" && m.LeftBy != incarnation)
}

// goesOn: the admitted incarnation lives.
func (p *plan) goesOn(n string, hb *record.Heartbeat) {
	m := p.s.Members[n]
	if m.Fence != nil && m.Fence.Proof == "" {
		p.cancel(n, "it goes on")
	} else if m.Fence != nil {
		p.alarm("%s was fenced (%s) and its heartbeat goes on: it has to stop what it runs", n, m.Fence.Proof)
	}
	if proof := p.proof(m, hb); proof != m.Proof {
		p.setMember(n, func(m *ledger.Member) { m.Proof = proof })
		p.because("the silence of %s proves %s", n, proof)
	}
	p.reopen(n)
	if hb.URL != m.URL || hb.Version != m.Version {
		p.setMember(n, func(m *ledger.Member) { m.URL, m.Version = hb.URL, hb.Version })
		p.because("%s is version %s at %s", n, hb.Version, hb.URL)
	}
}

// reopen gives a host's own VMs the next generation where it has closed theirs: it
// had stopped them to move them, and its acknowledgement was never taken.
func (p *plan) reopen(n string) {
	if m := p.s.Members[n]; m.Fence != nil || m.Left != "" {
		return
	}
	for _, host := range p.Inventories[n].Stopped(p.s.Members[n].Admitted) {
		v, known := p.s.VMs[host.Name]
		if known && v.Owner == n && host.Closed == v.Generation && v.Generation == p.Tail.State.VMs[host.Name].Generation {
			v.Generation++
			p.s.VMs[host.Name] = v
			p.because("%s starts again on %s: its move was given up", host.Name, n)
		}
	}
}

// proof is what the ledger takes over from a heartbeat: less at once, more only
// if the heartbeat was made by a node that has read that the cluster is armed,
// and not where the node's VMs run on without a deadline.
func (p *plan) proof(m ledger.Member, hb *record.Heartbeat) string {
	if p.s.Frozen || p.s.Debug || m.Left == record.LeaveFreeze || hb.LedgerSeq < p.s.ArmedAt {
		return record.ProofNothing
	}
	return hb.Proof
}

// returned: a new incarnation asks, by living, to be admitted.
func (p *plan) returned(n string, hb *record.Heartbeat) {
	m := p.s.Members[n]
	f := m.Fence
	if f != nil && f.Proof == "" {
		p.cancel(n, "it came back before there was a proof")
		f = nil
	}
	if f != nil {
		inv := p.Inventories[n]
		stopped := inv != nil && inv.Complete && inv.VerifiedStopped &&
			inv.Incarnation == hb.Incarnation && inv.LedgerSeq >= f.Proved
		switch {
		case !stopped:
			p.alarm("%s came back fenced and has not verified yet that nothing runs there", n)
			return
		case f.Manual:
			p.alarm("%s was fenced too often and stays so until: hoster-ha unfence %s", n, n)
			return
		}
	}
	p.restartOnReturned(n, hb.Incarnation)
	p.setMember(n, func(m *ledger.Member) {
		m.Admitted, m.Fence, m.Left, m.LeftBy = hb.Incarnation, nil, "", ""
		m.Proof = p.proof(*m, hb)
		m.URL, m.Version = hb.URL, hb.Version
	})
	delete(p.fresh, n)
	delete(p.found, n)
	if inv := p.Inventories[n]; inv != nil && inv.Complete && inv.Incarnation == hb.Incarnation {
		p.fresh[n] = inv
	}
	p.because("admit incarnation %s of %s", hb.Incarnation, n)
}

// cancel ends a failover for which there was no proof: the VMs run on. What the
// node acknowledged before is for restartOnReturned, or moves.
func (p *plan) cancel(n, why string) {
	p.setMember(n, func(m *ledger.Member) { m.Fence = nil })
	f, ok := p.s.Failovers[n]
	if ok {
		for vm, mv := range f.Moves {
			if mv.Phase == ledger.MoveWaiting && !mv.Acked {
				delete(f.Moves, vm)
			}
		}
		if len(f.Moves) == 0 {
			delete(p.s.Failovers, n)
		}
	}
	p.because("cancel the failover of %s: %s", n, why)
}

// restartOnReturned gives what was proved or acknowledged, but has not moved,
// back to its returned owner under the next generation: the old one is closed.
func (p *plan) restartOnReturned(n, incarnation string) {
	f, ok := p.s.Failovers[n]
	if !ok {
		return
	}
	for _, vm := range sorted(f.Moves) {
		mv := f.Moves[vm]
		if mv.Phase != ledger.MoveWaiting {
			continue
		}
		if v := p.s.VMs[vm]; v.Owner == n {
			if p.s.Members[n].Fence != nil || mv.Acked {
				// A restart on the same owner rolls nothing back, and a restore that was
				// ordered and not done yet still is.
				v.Generation++
				p.s.VMs[vm] = v
			}
		}
		delete(f.Moves, vm)
	}
	if len(f.Moves) == 0 {
		delete(p.s.Failovers, n)
		p.because("%s came back as %s before its VMs had moved: they start there again", n, incarnation)
	}
}

// fence shuts a node's gate and journals the failover of what it owns.
func (p *plan) fence(n, why string) {
	k := p.node(n)
	f := &ledger.Fence{Order: p.next(), Why: why}
	if k.Last != nil {
		f.Incarnation, f.Heartbeat = k.Last.Incarnation, k.Last.Seq
	}
	p.setMember(n, func(m *ledger.Member) {
		day := p.Wall.Add(-24 * time.Hour)
		m.Fences = slices.DeleteFunc(slices.Clone(m.Fences), func(t time.Time) bool { return t.Before(day) })
		f.Manual = len(m.Fences) >= ledger.MaxFences
		m.Fences = append(m.Fences, p.Wall)
		m.Fence, m.Left, m.LeftBy = f, "", ""
	})
	p.journal(n, why)
}

// journal opens the failover of all VMs that a node owns, or adds to it.
func (p *plan) journal(n, why string) {
	f, ok := p.s.Failovers[n]
	if !ok {
		f = ledger.Failover{
			Node: n, Incarnation: p.s.Members[n].Admitted, Order: p.next(), Why: why, Began: p.Wall,
			Moves: map[string]ledger.Move{},
		}
	}
	vms := p.owned(n)
	for _, vm := range vms {
		if mv, ok := f.Moves[vm]; !ok || mv.Phase != ledger.MoveWaiting {
			f.Moves[vm] = ledger.Move{Phase: ledger.MoveWaiting, Generation: p.s.VMs[vm].Generation}
			f.Order = p.next() // what hosts told before is older than this
		}
	}
	if p.s.Failovers == nil {
		p.s.Failovers = map[string]ledger.Failover{}
	}
	p.s.Failovers[n] = f
	p.because("failover of %s (%d VMs: %s): %s", n, len(vms), some(vms), why)
}

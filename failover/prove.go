package failover

import (
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// prove takes the first proof that holds for each failover under way:
// acknowledgements VM by VM, or elapsed time for the whole node. The operator's
// word comes as a request.
func (p *plan) prove() {
	if p.s.Frozen {
		return
	}
	for _, n := range sorted(p.s.Failovers) {
		p.acknowledged(n)
		f := p.s.Members[n].Fence
		if f == nil || f.Proof != "" {
			continue
		}
		if why := p.elapsed(n); why == "" {
			p.proved(n, ledger.ProvedElapsed)
		} else {
			p.alarm("failover of %s waits for a proof that it runs nothing: %s; if it is off: hoster-ha confirm-fenced %s", n, why, n)
		}
	}
}

// proved records a proof for the node's fence.
func (p *plan) proved(n, proof string) {
	p.setMember(n, func(m *ledger.Member) {
		f := *m.Fence
		f.Proof, f.Proved = proof, p.next()
		m.Fence = &f
	})
	if f, ok := p.s.Failovers[n]; ok {
		f.Proved = ptr(p.Wall)
		p.s.Failovers[n] = f
	}
	p.because("%s is fenced, proof: %s", n, proof)
}

// elapsed says why the silence of a node proves nothing, "" if it proves that
// all has stopped: a readable record of the admitted incarnation that stood
// still for T, and both it and the ledger declaring so.
func (p *plan) elapsed(n string) string {
	k, m := p.node(n), p.s.Members[n]
	switch {
	case k.Standing == lease.Unreadable:
		return "its heartbeat cannot be read"
	case k.Standing != lease.Stale:
		return "it has not been silent for the takeover timeout"
	case k.Last.Incarnation != m.Admitted:
		return "its last heartbeat is of an incarnation that was not admitted"
	case m.Proof != record.ProofElapsed:
		return "its silence proves nothing (ledger)"
	case k.Last.Proof != record.ProofElapsed:
		return "its silence proves nothing (heartbeat)"
	case p.startingUp(k):
		return "it has not been seen since this node began to look"
	}
	return ""
}

// acknowledged takes the acknowledgements of the node's admitted incarnation
// for the order of its failover.
func (p *plan) acknowledged(n string) {
	inv, m, f := p.Inventories[n], p.s.Members[n], p.s.Failovers[n]
	if inv == nil || inv.Incarnation != m.Admitted {
		return
	}
	var vms []string
	for _, ack := range inv.Acks {
		mv, ok := f.Moves[ack.VM]
		if !ok || mv.Acked || mv.Phase != ledger.MoveWaiting || ack.Order != f.Order ||
			ack.Incarnation != m.Admitted || ack.Generation != p.s.VMs[ack.VM].Generation || p.s.VMs[ack.VM].Owner != n {
			continue
		}
		mv.Acked, mv.Stopped = true, p.next()
		f.Moves[ack.VM] = mv
		vms = append(vms, ack.VM)
	}
	if len(vms) > 0 {
		p.because("%s acknowledged that it stopped %s", n, some(vms))
	}
}

// free says whether a VM's ownership may leave the node: its acknowledgement,
// or the node's fence proved.
func (p *plan) free(n string, mv ledger.Move) bool {
	f := p.s.Members[n].Fence
	return mv.Acked || (f != nil && f.Proof != "")
}

func ptr(t time.Time) *time.Time { return &t }

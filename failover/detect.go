package failover

import (
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// detect fences the members whose silence has lasted for T and that own VMs.
func (p *plan) detect() {
	if p.s.Frozen {
		return
	}
	owns := p.loads()
	for _, n := range sorted(p.s.Members) {
		m, k := p.s.Members[n], p.node(n)
		if m.Left == record.LeaveFreeze && k.Standing == lease.Stale && k.Last.Proof == record.ProofElapsed && owns[n] > 0 {
			p.alarm("%s left and was to let its VMs run on, but ended before it had told them: they have stopped; if so: hoster-ha confirm-fenced %s", n, n)
		}
		if n == p.Self || m.Fence != nil || m.Admitted == "" || p.willingly(n, m) || owns[n] == 0 {
			continue
		}
		if !dead(k) {
			continue
		}
		if p.startingUp(k) {
			p.alarm("%s has not been seen since this node began to look; it counts as dead after %s", n, p.Grace)
			continue
		}
		p.fence(n, "no sign of life for the takeover timeout")
	}
}

// willingly: the node left by itself and its VMs are as it said. A move that
// was under way when it fell silent is finished like a failover.
func (p *plan) willingly(n string, m ledger.Member) bool {
	switch m.Left {
	case record.LeaveFreeze, record.LeaveStop:
		return true
	case record.LeaveMove:
		f, ok := p.s.Failovers[n]
		if !ok {
			return true
		}
		for _, mv := range f.Moves {
			if mv.Phase == ledger.MoveWaiting && !mv.Acked {
				return false
			}
		}
		return true
	}
	return false
}

// dead: silent for T. Bytes that stand still unread, or stay away, count as
// such too, because they never prove anything by elapsed time (see prove).
func dead(k lease.Node) bool {
	return k.Standing == lease.Stale || (k.Standing == lease.Unreadable && k.Still)
}

// startingUp: a member of which nothing was seen to move since this node began
// to look may be a server that is still booting.
func (p *plan) startingUp(k lease.Node) bool {
	if k.Moved || p.Now >= p.Began+p.Grace {
		return false
	}
	if p.Expect == 0 {
		return true
	}
	alive := 0
	for n := range p.s.Members {
		if p.node(n).Standing == lease.Alive {
			alive++
		}
	}
	return alive < p.Expect
}

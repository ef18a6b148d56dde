package failover

import (
	"fmt"
	"slices"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Would is a failover that debug mode keeps from being made.
type Would struct {
	Node string
	Why  string
	VMs  []string // that it ran, by its own last word
}

// would says what detect would do. A debug cluster owns nothing, so that every member
// counts, whether it ran anything or not.
func (p *plan) would() {
	if p.s.Frozen {
		return
	}
	for _, n := range sorted(p.s.Members) {
		m, k := p.s.Members[n], p.node(n)
		if n == p.Self || m.Fence != nil || m.Admitted == "" || p.willingly(n, m) || p.ended(n) || !dead(k) || p.startingUp(k) {
			continue
		}
		w := Would{Node: n, Why: "no sign of life for the takeover timeout"}
		if inv := p.Inventories[n]; inv != nil {
			for _, vm := range inv.VMs {
				if vm.State != record.VMStopped {
					w.VMs = append(w.VMs, vm.Name)
				}
			}
			slices.Sort(w.VMs)
		}
		ran := ""
		if len(w.VMs) > 0 {
			ran = fmt.Sprintf(" (it ran %s)", some(w.VMs))
		}
		p.alarm("debug: would have failed over %s: %s%s", n, w.Why, ran)
		p.out.Would = append(p.out.Would, w)
	}
}

// debug sets debug mode or ends it, while the cluster is frozen: then every VM runs
// without a deadline, and nobody's silence proves anything.
func (p *plan) debug(r *record.Request) (string, error) {
	switch {
	case p.s.Debug == r.Debug && r.Debug:
		return "the cluster is in debug mode already", nil
	case p.s.Debug == r.Debug:
		return "the cluster is not in debug mode", nil
	case !p.s.Frozen:
		return "", fmt.Errorf("debug mode changes only while the cluster is frozen: hoster-ha freeze")
	case r.Debug && len(p.s.Failovers) > 0:
		return "", fmt.Errorf("a failover of %s is under way", some(sorted(p.s.Failovers)))
	}
	if err := p.knowFrozen(); err != nil {
		return "", err
	}
	p.s.Debug = r.Debug
	if r.Debug {
		return "after hoster-ha arm everything is logged and nothing done", nil
	}
	p.disown()
	return "debug mode is off; who runs a VM owns it, once all members have said what they run: hoster-ha arm", nil
}

// disown: in debug mode the cluster owned nothing, and what the ledger says of owners
// is from before. As after a repair, no VM starts before every member has said what
// it runs, and who runs a VM owns it.
func (p *plan) disown() {
	if len(p.s.VMs) == 0 {
		return
	}
	repair := map[string]bool{}
	for n, m := range p.s.Members {
		if m.Role != ledger.RoleWitness {
			repair[n] = true
		}
	}
	p.s.Repair, p.s.RepairSeq = repair, p.next()
}

package failover

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// claim is a host that reports a VM which the ledger does not know.
type claim struct {
	node    string
	running bool
	disk    bool
}

// adopt takes VMs into the ledger that hosts report and nobody owns yet. A VM
// that runs on one host is that host's; one that runs nowhere is taken only
// when every member has told what it runs, so that nobody's is started twice.
func (p *plan) adopt() {
	claims := map[string][]claim{}
	for _, n := range sorted(p.fresh) {
		if !p.host(n) {
			continue
		}
		for _, vm := range p.fresh[n].VMs {
			claims[vm.Name] = append(claims[vm.Name], claim{n, vm.State != record.VMStopped, vm.Snapshots})
		}
	}
	told, waiting := p.told()
	loads := p.loads()
	for _, vm := range sorted(claims) {
		p.settleConflict(vm, claims[vm])
		if _, known := p.s.VMs[vm]; known || p.s.Frozen || p.conflicting(vm, claims[vm]) {
			continue
		}
		if !told {
			p.alarm("%s is not managed yet: %s has not said what it runs", vm, waiting)
			continue
		}
		c := p.choose(claims[vm], loads)
		if p.s.VMs == nil {
			p.s.VMs = map[string]ledger.VM{}
		}
		p.s.VMs[vm] = ledger.VM{Owner: c.node, Generation: 1, Disk: c.disk}
		loads[c.node]++
		p.because("%s belongs to %s", vm, c.node)
	}
}

// told: every member that could run VMs has published what it runs.
func (p *plan) told() (bool, string) {
	for _, n := range sorted(p.s.Members) {
		m := p.s.Members[n]
		if m.Role == ledger.RoleWitness || m.Left == record.LeaveStop || (m.Fence != nil && m.Fence.Proof != "") {
			continue
		}
		if p.fresh[n] == nil {
			return false, n
		}
	}
	return true, ""
}

// choose finds the first owner: where it runs; else its only host; else, if it
// has no disk of its own there, the host with the highest priority.
func (p *plan) choose(cs []claim, loads map[string]int) claim {
	for _, c := range cs {
		if c.running {
			return c
		}
	}
	return slices.MinFunc(cs, func(a, b claim) int {
		return cmp.Or(
			cmp.Compare(p.s.Members[b.node].Priority, p.s.Members[a.node].Priority),
			cmp.Compare(loads[a.node], loads[b.node]), cmp.Compare(a.node, b.node),
		)
	})
}

// conflicting: several hosts claim an unowned VM and nothing tells whose it is.
func (p *plan) conflicting(vm string, cs []claim) bool {
	running, disks := 0, 0
	var nodes []string
	for _, c := range cs {
		if c.running {
			running++
		}
		if c.disk {
			disks++
		}
		nodes = append(nodes, c.node)
	}
	why := ""
	switch {
	case running > 1:
		why = "it runs on several hosts"
	case running == 0 && disks > 1:
		why = "several hosts hold a disk of it as their own"
	default:
		return false
	}
	p.alarm("%s is not managed: %s (%s)", vm, why, some(nodes))
	if old, ok := p.s.Conflicts[vm]; !ok || old.Why != why || !slices.Equal(old.Nodes, nodes) {
		if p.s.Conflicts == nil {
			p.s.Conflicts = map[string]ledger.Conflict{}
		}
		p.s.Conflicts[vm] = ledger.Conflict{Nodes: nodes, Why: why}
		p.because("%s is not managed: %s (%s)", vm, why, some(nodes))
	}
	return true
}

// settleConflict ends a conflict that is over.
func (p *plan) settleConflict(vm string, cs []claim) {
	if _, ok := p.s.Conflicts[vm]; !ok || p.conflicting(vm, cs) {
		return
	}
	delete(p.s.Conflicts, vm)
	p.because("%s is claimed by one host again", vm)
}

// repair waits, after the ledger was repaired, for every member to join it and
// to report what it runs: whoever runs a VM owns it.
func (p *plan) repair() {
	if len(p.s.Repair) == 0 {
		return
	}
	for _, n := range sorted(p.s.Repair) {
		m, member := p.s.Members[n]
		inv := p.fresh[n]
		// Whoever is fenced runs nothing, and a witness never did.
		tells := member && m.Role != ledger.RoleWitness && (m.Fence == nil || m.Fence.Proof == "")
		if tells && (inv == nil || inv.LedgerSeq < p.s.RepairSeq) {
			continue
		}
		delete(p.s.Repair, n)
		p.because("%s has joined the repaired ledger", n)
		if inv == nil {
			continue
		}
		for _, host := range inv.VMs {
			v, known := p.s.VMs[host.Name]
			if known && host.State != record.VMStopped && v.Owner != n {
				if other := p.fresh[v.Owner].VM(host.Name); other != nil && other.State != record.VMStopped {
					p.because("%s runs on both %s and %s", host.Name, v.Owner, n)
					continue
				}
				v.Owner, v.Restore, v.Generation = n, false, v.Generation+1
				p.s.VMs[host.Name] = v
				p.because("%s belongs to %s, which runs it", host.Name, n)
			}
		}
	}
	if len(p.s.Repair) > 0 {
		p.alarm("the ledger was repaired; no VM starts before these have reported: %s", fmt.Sprint(sorted(p.s.Repair)))
	}
}

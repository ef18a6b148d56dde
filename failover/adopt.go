package failover

import (
	"cmp"
	"slices"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// claim is a member that reports a VM which the ledger does not know.
type claim struct {
	node    string
	running bool
	disk    bool
	host    bool // it may be given VMs
}

// adopt takes VMs into the ledger that hosts report and nobody owns yet. A VM
// that runs on one host is that host's; one that runs nowhere is taken only
// when every member has told what it runs, so that nobody's is started twice.
func (p *plan) adopt() {
	claims := p.claims()
	told, waiting := p.told()
	loads := p.loads()
	for _, vm := range sorted(claims) {
		p.settleConflict(vm, claims[vm])
		p.hasDisk(vm, claims[vm])
		if _, known := p.s.VMs[vm]; known || p.s.Frozen || p.conflicting(vm, claims[vm]) {
			continue
		}
		if !told {
			p.alarm("%s is not managed yet: %s has not said what it runs", vm, waiting)
			continue
		}
		c := p.choose(claims[vm], loads)
		if !c.host {
			p.alarm("%s is not managed yet: it is on %s, which cannot be given VMs now", vm, c.node)
			continue
		}
		if p.s.VMs == nil {
			p.s.VMs = map[string]ledger.VM{}
		}
		p.s.VMs[vm] = ledger.VM{Owner: c.node, Generation: 1, Disk: c.disk}
		loads[c.node]++
		p.because("%s belongs to %s", vm, c.node)
	}
}

// hasDisk takes over that an owned VM has snapshots on its owner, which may not
// have been listed when it was adopted.
func (p *plan) hasDisk(vm string, cs []claim) {
	v, known := p.s.VMs[vm]
	if !known || v.Disk {
		return
	}
	for _, c := range cs {
		if c.node == v.Owner && c.disk {
			v.Disk = true
			p.s.VMs[vm] = v
			p.because("%s has a disk with snapshots on %s", vm, c.node)
		}
	}
}

// claims gathers what the members told last, also those that have fallen silent
// or left since: what they ran may run on. Only of a host that is proved to run
// nothing it does not count.
func (p *plan) claims() map[string][]claim {
	claims := map[string][]claim{}
	for _, n := range sorted(p.fresh) {
		if f := p.s.Members[n].Fence; f != nil && f.Proof != "" {
			continue
		}
		host := p.host(n)
		for _, vm := range p.fresh[n].VMs {
			claims[vm.Name] = append(claims[vm.Name], claim{n, vm.State != record.VMStopped, vm.Snapshots, host})
		}
	}
	return claims
}

// told: every member that could run VMs has published what it runs.
func (p *plan) told() (bool, string) {
	for _, n := range sorted(p.s.Members) {
		m := p.s.Members[n]
		if m.Role == ledger.RoleWitness || (m.Fence != nil && m.Fence.Proof != "") {
			continue
		}
		if p.fresh[n] == nil || !p.current(n) || m.Left != "" || p.ended(n) {
			return false, n
		}
	}
	return true, ""
}

// choose finds the first owner: where it runs; else the host that has its disk;
// else, of those that could run it, the one with the highest priority.
func (p *plan) choose(cs []claim, loads map[string]int) claim {
	for _, c := range cs {
		if c.running {
			return c
		}
	}
	return slices.MinFunc(cs, func(a, b claim) int {
		return cmp.Or(
			first(a.disk, b.disk), first(a.host, b.host),
			cmp.Compare(p.s.Members[b.node].Priority, p.s.Members[a.node].Priority),
			cmp.Compare(loads[a.node], loads[b.node]), cmp.Compare(a.node, b.node),
		)
	})
}

// first orders what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
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
	p.conflict(vm, nodes, why)
	return true
}

// conflict writes down that nobody manages a VM, if that is not written yet.
func (p *plan) conflict(vm string, nodes []string, why string) {
	if old, ok := p.s.Conflicts[vm]; ok && old.Why == why && slices.Equal(old.Nodes, nodes) {
		return
	}
	if p.s.Conflicts == nil {
		p.s.Conflicts = map[string]ledger.Conflict{}
	}
	p.s.Conflicts[vm] = ledger.Conflict{Nodes: nodes, Why: why}
	p.because("%s is not managed: %s (%s)", vm, why, some(nodes))
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
// to report what it runs: whoever runs a VM then owns it.
func (p *plan) repair() {
	if len(p.s.Repair) == 0 {
		return
	}
	var waiting []string
	for _, n := range sorted(p.s.Repair) {
		if !p.reported(n) {
			waiting = append(waiting, n)
			continue
		}
		delete(p.s.Repair, n)
		p.because("%s has joined the repaired ledger", n)
	}
	if len(waiting) > 0 {
		p.alarm("no VM starts before these have reported what they run: %s", some(waiting))
		return
	}
	for _, vm := range sorted(p.s.VMs) {
		v := p.s.VMs[vm]
		runs := p.runners(vm)
		if len(runs) == 1 && runs[0] != v.Owner {
			// One generation an entry, whatever else has raised it in this one.
			v.Owner, v.Restore, v.Generation = runs[0], false, p.Tail.State.VMs[vm].Generation+1
			p.s.VMs[vm] = v
			p.because("%s belongs to %s, which runs it", vm, runs[0])
		}
		if len(runs) > 1 {
			p.conflict(vm, runs, "it runs on several hosts")
		}
	}
}

// reported: the member has told, after the repair, what it runs, leaving nothing
// unknown. Whoever is fenced runs nothing, and a witness never did.
func (p *plan) reported(n string) bool {
	m, member := p.s.Members[n]
	if !member || m.Role == ledger.RoleWitness || (m.Fence != nil && m.Fence.Proof != "") {
		return true
	}
	inv := p.fresh[n]
	return inv != nil && inv.LedgerSeq >= p.s.RepairSeq &&
		!slices.ContainsFunc(inv.VMs, func(h record.HostVM) bool { return h.State == record.VMUnknown })
}

func (p *plan) runners(vm string) []string {
	var runs []string
	for _, n := range sorted(p.fresh) {
		if h := p.has(n).vms[vm]; h != nil && h.State == record.VMRunning {
			runs = append(runs, n)
		}
	}
	return runs
}

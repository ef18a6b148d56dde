package failover

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// place gives the VMs whose ownership is free to the hosts with their newest
// snapshots.
func (p *plan) place() {
	if p.s.Frozen || !p.s.Armed || len(p.s.Repair) > 0 {
		return
	}
	var loads map[string]int
	var able []string
	for _, n := range sorted(p.s.Failovers) {
		f := p.s.Failovers[n]
		for _, vm := range sorted(f.Moves) {
			mv := f.Moves[vm]
			if mv.Phase != ledger.MoveWaiting || !p.free(n, mv) || !p.inventoried(max(f.Order, mv.Stopped)) {
				continue
			}
			if loads == nil {
				loads, able = p.loads(), p.able()
			}
			p.placeVM(n, vm, mv, loads, able)
		}
	}
}

// inventoried: every living host has said what it holds since the entry of that
// number, which journaled the failover or said that the VM has stopped, or has
// had its time to.
func (p *plan) inventoried(order uint64) bool {
	wait := max(5*p.s.Timings.Interval, p.s.Timings.Timeout/10)
	if p.SinceOrder(order) >= wait {
		return true
	}
	if order >= p.next() {
		return false
	}
	for n := range p.s.Members {
		if !p.host(n) {
			continue
		}
		if !p.fresh[n].Newer(order) {
			return false
		}
	}
	return true
}

// able lists the hosts that may be given VMs and have told what they hold.
func (p *plan) able() []string {
	var able []string
	for _, n := range sorted(p.s.Members) {
		if p.host(n) && p.fresh[n] != nil {
			able = append(able, n)
		}
	}
	return able
}

func (p *plan) loads() map[string]int {
	loads := map[string]int{}
	for _, v := range p.s.VMs {
		loads[v.Owner]++
	}
	return loads
}

// choice is a host that could run a VM, with what it holds of it.
type choice struct {
	node     string
	priority int
	rank     rank
	guid     string
}

// rank orders replicas: how far along the owner's own list, then how far beyond.
type rank struct{ at, beyond int }

func (p *plan) placeVM(from, vm string, mv ledger.Move, loads map[string]int, able []string) {
	f := p.s.Failovers[from]
	v := p.s.VMs[vm]
	choices, problem := p.choices(from, vm, v, able)
	if len(choices) == 0 {
		if mv.Problem != problem {
			mv.Problem = problem
			f.Moves[vm] = mv
			p.because("%s cannot be placed: %s", vm, problem)
		}
		p.alarm("%s of %s runs nowhere: %s", vm, from, problem)
		return
	}
	best := slices.MinFunc(choices, func(a, b choice) int {
		return cmp.Or(
			cmp.Compare(b.rank.at, a.rank.at), cmp.Compare(b.rank.beyond, a.rank.beyond),
			cmp.Compare(b.priority, a.priority), cmp.Compare(loads[a.node], loads[b.node]),
			cmp.Compare(a.node, b.node),
		)
	})
	mv.Phase, mv.To, mv.Snapshot, mv.Problem, mv.Placed = ledger.MovePlaced, best.node, best.guid, "", ptr(p.Wall)
	mv.Lost = p.lost(from, vm, mv, best)
	p.s.VMs[vm] = ledger.VM{
		Owner: best.node, Generation: v.Generation + 1, Snapshot: best.guid, Restore: v.Disk, Restored: v.Generation + 1, Disk: v.Disk,
	}
	f.Moves[vm] = mv
	if fence := p.s.Members[from].Fence; fence != nil && !fence.Moved {
		p.setMember(from, func(m *ledger.Member) {
			c := *m.Fence
			c.Moved = true
			m.Fence = &c
		})
	}
	loads[best.node]++
	loads[from]--
	p.because("MOVING VM: %s FROM offline parent: %s TO: %s%s", vm, from, best.node, at(mv))
}

func at(mv ledger.Move) string {
	if mv.Snapshot == "" {
		return ""
	}
	if mv.Lost == nil {
		return fmt.Sprintf(" at snapshot %s", mv.Snapshot)
	}
	return fmt.Sprintf(" at snapshot %s, at most %.1f s lost", mv.Snapshot, *mv.Lost)
}

// choices lists the hosts that could run the VM, or says why none can.
func (p *plan) choices(from, vm string, v ledger.VM, able []string) ([]choice, string) {
	list := p.ownersList(from, vm, v)
	if v.Disk && len(list) == 0 {
		return nil, "its owner never published the snapshots of its disk, so no replica can be judged"
	}
	var choices []choice
	hosts, foreign := 0, 0
	for _, n := range able {
		if n == from {
			continue
		}
		hosts++
		c := choice{node: n, priority: p.s.Members[n].Priority}
		if !v.Disk {
			if p.has(n).vms[vm] != nil {
				choices = append(choices, c)
			}
			continue
		}
		ds := p.has(n).datasets[vm]
		if ds == nil || len(ds.Snapshots) == 0 {
			continue
		}
		r, guid, ok := Newest(list, *ds)
		if !ok {
			foreign++
			continue
		}
		c.rank, c.guid = r, guid
		choices = append(choices, c)
	}
	switch {
	case len(choices) > 0:
		return choices, ""
	case hosts == 0:
		return nil, "no other host lives that may run VMs"
	case foreign > 0:
		return nil, "the replicas there are have no snapshot in common with its owner's: the operator has to choose"
	case v.Disk:
		return nil, "no living host holds a replica of it"
	default:
		return nil, "no living host has it configured"
	}
}

// ownersList is the owner's own ordered list of the VM's snapshots: published
// under this generation, or else the one it started from.
func (p *plan) ownersList(owner, vm string, v ledger.VM) []record.Snapshot {
	if ds := p.Inventories[owner].Dataset(vm); ds != nil && ds.Generation == v.Generation {
		return ds.Snapshots
	}
	if v.Snapshot != "" {
		return []record.Snapshot{{GUID: v.Snapshot}}
	}
	return nil
}

// Newest finds the snapshot of a replica to start from: the furthest along the
// owner's ordered list that the replica holds. What the replica holds beyond
// the list counts only if it holds the list's very end and was not written to
// since. ok is false for a replica of another lineage.
func Newest(owner []record.Snapshot, replica record.Dataset) (r rank, guid string, ok bool) {
	place := make(map[string]int, len(replica.Snapshots))
	for i, s := range replica.Snapshots {
		place[s.GUID] = i
	}
	for i, s := range slices.Backward(owner) {
		k, held := place[s.GUID]
		if !held {
			continue
		}
		r, guid = rank{at: i}, s.GUID
		last := len(replica.Snapshots) - 1
		if i == len(owner)-1 && !replica.Written && k < last && !anyOf(owner, replica.Snapshots[k+1:]) {
			r.beyond, guid = last-k, replica.Snapshots[last].GUID
		}
		return r, guid, true
	}
	return rank{}, "", false
}

// anyOf: some of the snapshots are in the owner's list; then their order here is
// another than there, and what stands last is not the newest.
func anyOf(owner, some []record.Snapshot) bool {
	return slices.ContainsFunc(some, func(s record.Snapshot) bool {
		return slices.ContainsFunc(owner, func(o record.Snapshot) bool { return o.GUID == s.GUID })
	})
}

// lost is at most how much of the VM's work is not in the chosen snapshot, by
// the owner's clock; nil when it cannot be told. The VM ran until the owner's
// last sign of life, or on: with elapsed proof until its deadline, by the
// operator's word perhaps until now. A snapshot made after the owner had stopped
// the VM loses nothing.
func (p *plan) lost(from, vm string, mv ledger.Move, c choice) *float64 {
	k := p.node(from)
	if own := p.Inventories[from].Dataset(vm); mv.Acked && own != nil && !own.Written && len(own.Snapshots) > 0 &&
		own.Snapshots[len(own.Snapshots)-1].GUID == c.guid {
		return new(float64)
	}
	ds := p.has(c.node).datasets[vm]
	if k.Last == nil || ds == nil {
		return nil
	}
	for _, s := range ds.Snapshots {
		if s.GUID == c.guid {
			ran := k.Last.Wall
			if f := p.s.Members[from].Fence; f != nil && !mv.Acked {
				switch f.Proof {
				case ledger.ProvedElapsed:
					ran = ran.Add(p.s.InForce().Of(k.Last).Stopped())
				case ledger.ProvedOperator:
					ran = ran.Add(k.Age)
				}
			}
			lost := max(ran.Sub(s.Created), 0).Round(time.Millisecond).Seconds()
			return &lost
		}
	}
	return nil
}

// progress follows the moves on their new hosts.
func (p *plan) progress() {
	for _, n := range sorted(p.s.Failovers) {
		f := p.s.Failovers[n]
		for _, vm := range sorted(f.Moves) {
			mv, v := f.Moves[vm], p.s.VMs[vm]
			if mv.Phase == ledger.MoveWaiting && (v.Owner != n || v.Generation != mv.Generation) {
				delete(f.Moves, vm) // what was to move is not there any more
				p.because("%s does not belong to %s any more", vm, n)
				continue
			}
			if mv.Phase != ledger.MovePlaced {
				continue
			}
			if v.Owner != mv.To || v.Generation != mv.Generation+1 {
				delete(f.Moves, vm) // its new host failed too: that failover has it now
				p.because("%s of %s is in another failover", vm, n)
				continue
			}
			host := p.has(mv.To).vms[vm]
			if host != nil && host.State == record.VMRunning && host.Generation == v.Generation {
				mv.Phase, mv.Running, mv.Problem = ledger.MoveRunning, ptr(p.Wall), ""
				f.Moves[vm] = mv
				p.because("%s runs on %s", vm, mv.To)
			} else if host != nil && host.Problem != "" {
				p.alarm("%s does not start on %s: %s", vm, mv.To, host.Problem)
			} else if mv.Placed != nil && p.Wall.Sub(*mv.Placed) > p.s.Timings.Timeout {
				p.alarm("%s was given to %s and does not run there", vm, mv.To)
			}
		}
	}
}

// finish ends the failovers in which every VM runs.
func (p *plan) finish() {
	for _, n := range sorted(p.s.Failovers) {
		f := p.s.Failovers[n]
		done := true
		for _, mv := range f.Moves {
			done = done && mv.Phase == ledger.MoveRunning
		}
		switch {
		case !done:
		case len(f.Moves) == 0 && p.s.Members[n].Fence != nil && p.s.Members[n].Fence.Proof == "":
		default:
			delete(p.s.Failovers, n)
			p.because("failover of %s is complete after %s: %s", n, p.Wall.Sub(f.Began).Round(time.Millisecond), some(report(f)))
		}
	}
}

func report(f ledger.Failover) []string {
	var lines []string
	for _, vm := range sorted(f.Moves) {
		mv := f.Moves[vm]
		lines = append(lines, fmt.Sprintf("%s on %s%s", vm, mv.To, at(mv)))
	}
	return lines
}

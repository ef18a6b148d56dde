package failover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Input is all that a plan is made of.
type Input struct {
	Self        string // the master, whose lease the caller has checked
	Incarnation string
	Tail        ledger.Stored
	Now         time.Duration // boot-time clock
	Wall        time.Time     // for people
	// Nodes is what was observed of the other members; Own is the master's last
	// answered heartbeat.
	Nodes       map[string]lease.Node
	Own         *record.Heartbeat
	Inventories map[string]*record.Inventory
	Requests    []Asked
	// Began is when the observation began; until Began + Grace members of which
	// nothing was seen to move do not count as dead, unless Expect nodes live.
	Began  time.Duration
	Grace  time.Duration
	Expect int
	// SinceOrder is how long ago this node first read the entry of a number.
	SinceOrder func(order uint64) time.Duration
}

// Asked is a request, with why it is void, if it is. Done: an entry has answered
// it, and it only has to go.
type Asked struct {
	*record.Request
	Void string
	Done bool
}

// Output is a plan: at most one entry, and what to do when it is made.
type Output struct {
	// State of the next entry; nil when there is nothing to write.
	State    *ledger.State
	Why      []string
	By       []string
	Requests []string // executed by it
	// Release gives up the mastership after the entry, to Successor if named.
	Release   bool
	Successor string
	Alarms    []string
	// Would is what debug mode keeps from being done.
	Would []Would
	// Drop lists requests that were answered in an entry already.
	Drop []string
}

// plan is a plan in the making.
type plan struct {
	Input
	s   *ledger.State
	out Output
	// fresh holds inventories that count: complete, by the admitted incarnation.
	fresh map[string]*record.Inventory
	found map[string]*holdings // of them, by VM, made when first asked for
}

// holdings is an inventory, by VM.
type holdings struct {
	vms      map[string]*record.HostVM
	datasets map[string]*record.Dataset
}

// Plan makes the next plan. It is a pure function of its input.
func Plan(in Input) Output {
	p := &plan{
		Input: in, s: in.Tail.State.Clone(),
		fresh: map[string]*record.Inventory{}, found: map[string]*holdings{},
	}
	for n, inv := range in.Inventories {
		if m, ok := p.s.Members[n]; ok && inv != nil && inv.Complete && inv.Incarnation == m.Admitted {
			p.fresh[n] = inv
		}
	}
	p.requests()
	p.members()
	if !p.s.Debug {
		p.repair()
		p.adopt()
		p.detect()
		p.prove()
		p.progress()
		p.place()
		p.finish()
	} else {
		p.would()
	}
	if len(p.out.Why) == 0 {
		p.out.State = nil
	} else {
		p.out.State = p.s
	}
	return p.out
}

// because notes a change of the state: an entry will be written.
func (p *plan) because(format string, args ...any) {
	p.out.Why = append(p.out.Why, fmt.Sprintf(format, args...))
}

func (p *plan) alarm(format string, args ...any) {
	p.out.Alarms = append(p.out.Alarms, fmt.Sprintf(format, args...))
}

// next is the number of the entry being planned.
func (p *plan) next() uint64 { return p.Tail.Seq + 1 }

func (p *plan) setMember(n string, change func(m *ledger.Member)) {
	m := p.s.Members[n]
	change(&m)
	p.s.Members[n] = m
}

// node gives what is known of a member, the master itself included.
func (p *plan) node(n string) lease.Node {
	if n == p.Self {
		return lease.Node{Standing: lease.Alive, Last: p.Own, Numbers: 2, Moved: true}
	}
	if k, ok := p.Nodes[n]; ok {
		return k
	}
	return lease.Node{Standing: lease.Unseen}
}

// current says whether the member lives under its admitted incarnation.
func (p *plan) current(n string) bool {
	k, m := p.node(n), p.s.Members[n]
	return k.Standing == lease.Alive && m.Admitted != "" && k.Last != nil && k.Last.Incarnation == m.Admitted
}

// host says whether the member may be given VMs.
func (p *plan) host(n string) bool {
	m := p.s.Members[n]
	return m.Role != ledger.RoleWitness && !m.Maintenance && m.Fence == nil && m.Left == "" && p.current(n) &&
		!p.node(n).Last.NoVMs && !p.node(n).Last.Ending
}

// has is what a host's inventory that counts tells; empty where there is none.
func (p *plan) has(n string) *holdings {
	if h := p.found[n]; h != nil {
		return h
	}
	h := &holdings{}
	if inv := p.fresh[n]; inv != nil {
		h.vms, h.datasets = make(map[string]*record.HostVM, len(inv.VMs)), make(map[string]*record.Dataset, len(inv.Datasets))
		for i := range inv.VMs {
			h.vms[inv.VMs[i].Name] = &inv.VMs[i]
		}
		for i := range inv.Datasets {
			h.datasets[inv.Datasets[i].VM] = &inv.Datasets[i]
		}
	}
	p.found[n] = h
	return h
}

func (p *plan) owned(n string) []string {
	var vms []string
	for vm, v := range p.s.VMs {
		if v.Owner == n {
			vms = append(vms, vm)
		}
	}
	slices.Sort(vms)
	return vms
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// some names the first few of a list, for people.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

package vmctl

import (
	"context"
	"fmt"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// Facts are what the gate looks at, as they stand at this instant.
type Facts struct {
	Host        string
	Now         time.Duration // boot-time clock
	LeaseUntil  time.Duration // end of the lease; 0 is none
	TailRead    time.Duration // when the read of State began
	Renew       time.Duration // D
	Incarnation string
	State       *ledger.State // of the newest entry; nil is none
	// Made: State is of an entry that this node has made and not read back since: a
	// store that was exchanged just before would never show it to the others.
	Made bool
	// Failed says why the node decides and starts nothing at all; "" is well.
	Failed string
	// Declared is what this node's silence proves as its watchdog and driver
	// stand now; Answered what the last answered heartbeat said of it.
	Declared, Answered string
	// Closed is the newest generation of the VM that was closed here for good.
	Closed func(vm string) uint64
}

// Refusal says why the gate is shut for a VM.
type Refusal struct {
	VM  string
	Why string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s may not start here: %s", r.VM, r.Why) }

// Journal keeps starts from before they are issued until they have certainly
// ended, durably.
type Journal interface {
	// Issued refuses while an earlier start of the VM is unresolved: a second
	// one that fails for certain would hide it.
	Issued(vm string, generation uint64) error
	Resolved(vm string, generation uint64, running bool) error
	Prepared(vm string, generation uint64) error
	IsPrepared(vm string, generation uint64) bool
}

// Gate is the one way to start a VM.
type Gate struct {
	driver   Driver
	provider Provider // nil: VMs without snapshots
	facts    func() Facts
	journal  Journal
}

// NewGate makes the gate in front of a driver and, unless it is nil, a
// snapshot provider. facts is asked immediately before each act.
func NewGate(d Driver, p Provider, facts func() Facts, j Journal) *Gate {
	return &Gate{driver: d, provider: p, facts: facts, journal: j}
}

// Check is nil if the VM may be started on this host now, or a *Refusal. It is
// the only such function.
func (g *Gate) Check(vm string) error {
	_, _, err := g.check(vm)
	return err
}

func (g *Gate) check(vm string) (Permit, ledger.VM, error) {
	f := g.facts()
	no := func(why string, args ...any) (Permit, ledger.VM, error) {
		return Permit{}, ledger.VM{}, &Refusal{VM: vm, Why: fmt.Sprintf(why, args...)}
	}
	s := f.State
	switch {
	case f.Failed != "":
		return no("%s", f.Failed)
	case s == nil:
		return no("the ledger has not been read")
	case f.LeaseUntil == 0 || f.Now >= f.LeaseUntil:
		return no("this node holds no lease")
	case f.Now-f.TailRead >= f.Renew:
		return no("the ledger was not read for %s", f.Now-f.TailRead)
	case f.Made:
		return no("the newest entry was made here and not read back yet")
	case s.Closed:
		return no("the cluster has moved to another store")
	case s.Debug:
		return no("the cluster is in debug mode")
	case !s.Armed:
		return no("the cluster is not armed yet")
	case s.Frozen:
		return no("the cluster is frozen")
	case len(s.Repair) > 0:
		return no("the ledger was repaired and not every member has reported")
	}
	m, member := s.Members[f.Host]
	v, known := s.VMs[vm]
	_, conflict := s.Conflicts[vm]
	switch {
	case !member:
		return no("this node is no member")
	case m.Admitted == "" || m.Admitted != f.Incarnation:
		return no("this incarnation is not admitted")
	case m.Role == ledger.RoleWitness:
		return no("a witness runs no VMs")
	case m.Fence != nil:
		return no("this node is fenced: %s", m.Fence.Why)
	case m.Left != "":
		return no("this node is leaving")
	case !known:
		return no("it is not in the ledger")
	case conflict:
		return no("several hosts claim it")
	case v.Owner != f.Host:
		return no("it belongs to %s", v.Owner)
	case f.Closed(vm) >= v.Generation:
		return no("generation %d is closed here", v.Generation)
	case f.Declared != f.Answered:
		return no("the heartbeat that declares %q has not been answered", f.Declared)
	}
	if _, leaving := s.Failovers[f.Host]; leaving {
		if mv, mine := s.Failovers[f.Host].Moves[vm]; mine && mv.Phase == ledger.MoveWaiting {
			return no("it is being moved from here")
		}
	}
	return Permit{vm: vm, generation: v.Generation}, v, nil
}

// Start starts a VM if it may be started: it makes the replica the VM's disk
// where the ledger says so, writes the start down before it issues it, and
// checks again immediately before each act.
func (g *Gate) Start(ctx context.Context, vm string) error {
	p, v, err := g.check(vm)
	if err != nil {
		return err
	}
	if v.Restore && !g.journal.IsPrepared(vm, v.Restored) {
		if g.provider == nil {
			return &Refusal{VM: vm, Why: "it starts from a snapshot and this host has no snapshot provider"}
		}
		if err := g.provider.Prepare(ctx, p, v.Snapshot); err != nil {
			return fmt.Errorf("prepare %s at snapshot %s: %w", vm, v.Snapshot, err)
		}
		if err := g.journal.Prepared(vm, v.Restored); err != nil {
			return fmt.Errorf("remember that %s is prepared: %w", vm, err)
		}
	}
	if err := g.journal.Issued(vm, v.Generation); err != nil {
		return fmt.Errorf("remember the start of %s: %w", vm, err)
	}
	again, _, err := g.check(vm)
	if err == nil && again != p {
		err = &Refusal{VM: vm, Why: "its generation changed meanwhile"}
	}
	if err == nil {
		err = g.driver.Start(ctx, p)
	}
	if !unresolved(err) {
		if jerr := g.journal.Resolved(vm, v.Generation, err == nil); jerr != nil && err == nil {
			return fmt.Errorf("remember that %s runs: %w", vm, jerr)
		}
	}
	return err
}

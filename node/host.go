package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/deadline"
)

// host drives this host's VMs as the ledger and the lease allow, and tells what
// there is. Its loop owns the driver; the beat only hands deadlines.
type host struct {
	n    *Node
	log  zerolog.Logger
	gate *vmctl.Gate
	self vmctl.SelfStopper // nil: its VMs do not stop themselves
	dog  *guard            // nil: nothing ends this host
	// rehearsal is told what a watchdog would be; nil: none is.
	rehearsal *guard
	ops       sync.WaitGroup

	handing chan struct{} // full while a deadline is handed; taken before mu

	mu        sync.Mutex
	vms       []vmctl.VM        // of the last successful query
	queried   time.Duration     // when it began; 0 is never
	queryErr  string            // why the last query failed
	stills    int               // successful queries in a row that found nothing running
	busy      map[string]string // VM → operation under way
	problems  map[string]string // VM → why it does not do what it should
	retry     map[string]retry  // VM → when to try again
	stopping  bool              // the lease was lost: VMs are being stopped, none may be kept alive
	deadline  time.Duration     // handed to the VMs, or the watchdog; 0 is none yet
	lowered   bool              // the VMs run on: no deadline in force
	why       string            // what runs is being stopped, or this host ended
	due       time.Duration     // when to begin to stop, for the deadline in force
	stopped   func()            // ends what stopAll began
	quitting  bool              // this node was told to end: nothing is armed any more
	tries     uint64            // numbers given to inventories
	number    uint64            // of the inventory published last
	published *record.Inventory // the inventory published last
	again     time.Duration     // when to publish once more: one that failed may land over it; 0 is not
	acks      map[string]record.Ack
	order     string          // how the node leaves: record.Leave...
	orphans   map[string]bool // VMs whose start an earlier process left unresolved
	datasets  []record.Dataset
	datasetAt time.Duration
	// datasetSeq is the newest entry read before they were asked for.
	datasetSeq uint64
}

type retry struct {
	at    time.Duration
	tries int
}

func newHost(n *Node) *host {
	h := &host{
		n: n, log: n.log, busy: map[string]string{}, problems: map[string]string{},
		retry: map[string]retry{}, acks: map[string]record.Ack{}, orphans: map[string]bool{},
		handing: make(chan struct{}, 1), stopped: func() {},
	}
	h.self, _ = n.cfg.Driver.(vmctl.SelfStopper)
	if n.cfg.Driver != nil && n.cfg.Mode != ModeDisabled {
		h.dog, h.rehearsal = newGuard(n.cfg.Guard)
	}
	h.gate = vmctl.NewGate(n.cfg.Driver, n.cfg.Provider, h.facts, journal{n.cfg.Memory, h})
	return h
}

// begin takes over what an earlier process of this boot left: the deadline
// that its VMs obey. After a reboot nothing of it is left.
func (h *host) begin(ctx context.Context) error {
	m := h.n.cfg.Memory
	if l := m.Lost(); l != nil {
		if l.Boot != h.n.cfg.Boot {
			h.log.Warn().Time("then", l.Wall).Msgf("before this boot all VMs were to be stopped here: %s", l.Why)
		}
		if err := m.SetLost(nil); err != nil {
			return err
		}
	}
	for vm, generation := range m.Unresolved() {
		if m.LastBoot() == h.n.cfg.Boot {
			h.orphans[vm] = true
			continue
		}
		if err := m.Resolved(vm, generation, false); err != nil {
			return err
		}
	}
	if h.self == nil {
		return h.inherit(ctx)
	}
	d, err := h.self.Deadline()
	if errors.Is(err, deadline.ErrMalformed) {
		d, err = 1, nil // passed long ago: nothing lives on before all was seen stopped
	}
	if err != nil {
		return fmt.Errorf("deadline of the VMs: %w", err)
	}
	h.deadline, h.lowered = d, d == vmctl.NoDeadline
	return h.inherit(ctx)
}

// facts are what the gate looks at, now.
func (h *host) facts() vmctl.Facts {
	n := h.n
	holder, v, now := n.getHolder(), n.getView(), n.now()
	f := vmctl.Facts{
		Host: n.cfg.Name, Now: now, TailRead: v.tailRead, Failed: v.doubt(),
		Declared: h.declares(), Closed: n.cfg.Memory.Closed,
	}
	if n.cfg.Mode == ModeDisabled {
		f.Failed = "--ha-mode disabled"
	}
	if holder != nil && holder.Valid(now) {
		f.LeaseUntil, f.Incarnation = holder.Until(), holder.Incarnation()
	}
	if v.own != nil {
		f.Answered = v.own.Proof
	}
	if tail := n.ledger.Tail(); tail.Entry != nil {
		f.State, f.Renew = &tail.State, tail.State.Timings.Renew
		// What is acted on has been read and is remembered.
		remembered, _ := n.cfg.Memory.Tail()
		f.Made = n.ledger.Made() || remembered < tail.Seq
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.self != nil && !h.lowered && now >= h.deadline, h.dog != nil && h.bound() && now >= h.deadline:
		f.Failed = "the deadline of its VMs does not lie ahead"
	case h.self == nil && h.dog != nil && !h.bound() && h.dog.unproved == "":
		f.Failed = "its watchdog is not armed yet"
	case n.cfg.ProofRequired && f.Declared != record.ProofElapsed:
		f.Failed = "its silence proves nothing, and --watchdog required says that it has to"
	}
	if h.stopping {
		f.Failed = "what ran under the lost lease is being stopped"
	}
	if h.order != "" || h.quitting {
		f.Failed = "this node is leaving"
	}
	return f
}

// run queries, acts and tells, after each beat.
func (h *host) run(ctx context.Context) error {
	for {
		soon := h.soon()
		select {
		case <-ctx.Done():
			return nil
		case <-h.n.kickHost:
		case <-soon:
		}
		h.turn(ctx)
	}
}

// stops says whether what runs is being stopped.
func (h *host) stops() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopping
}

// soon is when to look again without a beat: one that the store holds up must not keep
// what is being stopped from being verified before the watchdog's deadline. nil: never.
func (h *host) soon() <-chan time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dog == nil || !h.stopping {
		return nil
	}
	const looks = 10 // within the time that a kill has
	return time.After(h.n.timings().Kill / looks)
}

func (h *host) wait() { h.ops.Wait() }

func (h *host) turn(ctx context.Context) {
	tail := h.n.ledger.Tail()
	if !h.query(ctx) {
		h.publish(ctx, tail)
		return
	}
	h.decide(ctx, tail)
	h.publish(ctx, tail)
}

// query asks the driver what there is.
func (h *host) query(ctx context.Context) bool {
	began := h.n.now()
	var vms []vmctl.VM
	var err error
	if h.n.cfg.Driver != nil {
		vms, err = h.n.cfg.Driver.List(ctx)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		if h.queryErr != err.Error() {
			h.log.Error().Err(err).Msg("the driver does not answer: what runs is unknown")
		}
		h.queryErr, h.stills = err.Error(), 0
		return false
	}
	h.vms, h.queried, h.queryErr = vms, began, ""
	still := len(h.busy) == 0
	listed := map[string]bool{}
	for _, vm := range vms {
		listed[vm.Name] = true
		still = still && (vm.State == record.VMStopped || !h.counts(vm.Name))
	}
	for vm := range h.n.state().VMs {
		still = still && (listed[vm] || !h.vanished(vm))
	}
	if h.stills++; !still {
		h.stills = 0
	}
	return true
}

// ours: the VM was enrolled here, or is a cluster's VM; what else runs on this
// host is not touched.
func (h *host) ours(vm string) bool {
	v, known := h.n.state().VMs[vm]
	_, unresolved := h.n.cfg.Memory.Unresolved()[vm]
	return unresolved || h.n.cfg.Memory.Running(vm) > 0 || (known && v.Owner == h.n.cfg.Name)
}

// counts: the VM must not run for this host to be verified stopped, whoever
// started it.
func (h *host) counts(vm string) bool {
	_, known := h.n.state().VMs[vm]
	return known || h.ours(vm)
}

// vanished: a VM that was started here under its present generation. One that
// the driver does not list any more has not stopped for that.
func (h *host) vanished(vm string) bool {
	v := h.n.state().VMs[vm]
	return v.Owner == h.n.cfg.Name && h.n.cfg.Memory.Running(vm) == v.Generation
}

// decide does for each VM what the newest entry says.
func (h *host) decide(ctx context.Context, tail ledger.Stored) {
	n := h.n
	s := &tail.State
	if h.dog != nil && h.stops() {
		h.verifyStopped(ctx)
		return
	}
	if s.Debug || n.cfg.Mode == ModeDisabled || n.cfg.Driver == nil {
		return
	}
	h.mu.Lock()
	vms, order, stopping := slices.Clone(h.vms), h.order, h.stopping
	h.mu.Unlock()
	if stopping {
		h.verifyStopped(ctx)
		return
	}
	me := s.Members[n.cfg.Name]
	if order == "" && me.Left != "" && me.LeftBy == n.getHolder().Incarnation() {
		order = me.Left
	}
	seen := map[string]bool{}
	for _, vm := range vms {
		seen[vm.Name] = true
		h.decideVM(ctx, s, me, vm, order)
	}
	for _, vm := range slices.Sorted(maps.Keys(s.VMs)) {
		switch v := s.VMs[vm]; {
		case v.Owner != n.cfg.Name || seen[vm]:
		case h.vanished(vm):
			h.problem(vm, "it was started here and the driver lists it no more: whether it runs is unknown")
		default:
			// Not on this host yet: its replica has to be made its disk.
			h.decideVM(ctx, s, me, vmctl.VM{Name: vm, State: record.VMStopped}, order)
		}
	}
	if order == record.LeaveMove || order == record.LeaveStop {
		h.acknowledge(ctx, s, order)
	}
}

func (h *host) decideVM(ctx context.Context, s *ledger.State, me ledger.Member, vm vmctl.VM, order string) {
	n := h.n
	v, known := s.VMs[vm.Name]
	runs := vm.State != record.VMStopped
	owned := known && v.Owner == n.cfg.Name
	fenced := me.Fence != nil && me.Fence.Proof != ""
	generation := n.cfg.Memory.Running(vm.Name)
	_, unresolved := n.cfg.Memory.Unresolved()[vm.Name]
	switch {
	case runs && fenced && h.ours(vm.Name):
		h.kill(ctx, vm.Name, "this node is fenced")
	case runs && len(s.Repair) > 0:
		h.problem(vm.Name, "") // whoever runs it owns it, as soon as the master has read so
	case runs && known && !owned && (generation > 0 || unresolved):
		h.kill(ctx, vm.Name, "it belongs to "+v.Owner)
	case runs && owned && n.cfg.Memory.Closed(vm.Name) >= v.Generation:
		h.kill(ctx, vm.Name, fmt.Sprintf("generation %d is closed here", v.Generation))
	case runs && owned && v.Restore && generation > 0 && generation < v.Generation:
		h.kill(ctx, vm.Name, fmt.Sprintf("it runs under generation %d, the newest is %d", generation, v.Generation))
	case runs && owned && v.Restore && generation == 0 && !unresolved:
		h.problem(vm.Name, "it runs, and this host does not remember that it started it")
	case runs && known && !owned:
		h.problem(vm.Name, "it runs here, unmanaged, and belongs to "+v.Owner)
	case runs && owned && (order == record.LeaveMove || order == record.LeaveStop):
		h.stop(ctx, vm.Name)
	case runs && owned:
		h.runs(vm, v)
	case !runs && owned && order == "" && !fenced:
		h.start(ctx, vm.Name)
	}
}

// runs notes that an owned VM runs, as it should.
func (h *host) runs(vm vmctl.VM, v ledger.VM) {
	m := h.n.cfg.Memory
	h.mu.Lock()
	_, busy := h.busy[vm.Name]
	h.mu.Unlock()
	if busy || vm.State != record.VMRunning {
		return
	}
	if generation, open := m.Unresolved()[vm.Name]; open && !m.Again(vm.Name) {
		if err := m.Resolved(vm.Name, generation, true); err != nil {
			h.problem(vm.Name, err.Error())
			return
		}
		h.mu.Lock()
		delete(h.orphans, vm.Name)
		h.mu.Unlock()
	}
	if m.Running(vm.Name) != v.Generation && !v.Restore {
		// It ran already when the cluster took it over.
		if err := m.SetRunning(vm.Name, v.Generation); err != nil {
			h.problem(vm.Name, err.Error())
			return
		}
	}
	h.problem(vm.Name, "")
}

func (h *host) problem(vm, text string) {
	h.mu.Lock()
	old := h.problems[vm]
	h.problems[vm] = text
	if text == "" {
		delete(h.problems, vm)
		delete(h.retry, vm)
	}
	h.mu.Unlock()
	if text != "" && text != old {
		h.log.Warn().Str("vm", vm).Msg(text)
	}
}

// operate runs one operation on a VM, if none is under way on it.
func (h *host) operate(vm, what string, f func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, busy := h.busy[vm]; busy {
		return
	}
	h.busy[vm] = what
	h.stills = 0
	h.ops.Go(func() {
		err := f()
		h.mu.Lock()
		delete(h.busy, vm)
		h.stills = 0
		h.mu.Unlock()
		text := ""
		if err != nil {
			text = fmt.Sprintf("%s: %v", what, err)
		}
		if what == "start" || err != nil {
			h.problem(vm, text)
		}
		if err == nil { // what failed waits for the next beat
			kick(h.n.kickHost)
		}
	})
}

// start starts a VM through the gate; after a failure it waits, longer each
// time.
func (h *host) start(ctx context.Context, vm string) {
	now := h.n.now()
	h.mu.Lock()
	r := h.retry[vm]
	h.mu.Unlock()
	if now < r.at {
		return
	}
	if err := h.gate.Check(vm); err != nil {
		if r, ok := errors.AsType[*vmctl.Refusal](err); ok {
			h.log.Debug().Str("vm", vm).Msg(r.Error())
		}
		return
	}
	h.mu.Lock()
	orphan := h.orphans[vm]
	h.mu.Unlock()
	if _, open := h.n.cfg.Memory.Unresolved()[vm]; open && !orphan {
		h.kill(ctx, vm, "its last start did not certainly end")
		return
	}
	h.operate(vm, "start", func() error {
		began := h.n.now()
		err := h.gate.Start(ctx, vm)
		if err == nil {
			h.log.Info().Str("vm", vm).Dur("took", h.n.now()-began).Msg("VM started")
			return nil
		}
		h.mu.Lock()
		r := h.retry[vm]
		r.tries++
		r.at = h.n.now() + min(time.Duration(r.tries)*h.n.timings().Interval*5, time.Minute)
		h.retry[vm] = r
		h.mu.Unlock()
		return err
	})
}

// killPatience is how long a kill may take before it is tried again.
const killPatience = 10 * time.Second

func (h *host) kill(ctx context.Context, vm, why string) {
	h.operate(vm, "kill", func() error {
		h.log.Warn().Str("vm", vm).Msgf("kill: %s", why)
		kctx, cancel := context.WithTimeout(ctx, max(h.n.timings().Kill, killPatience))
		defer cancel()
		if err := h.n.cfg.Driver.Kill(kctx, vm); err != nil {
			return err
		}
		return h.ended(vm)
	})
}

package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// driver keeps vmctl.Driver for one process over its host.
type driver struct{ p *proc }

// selfDriver adds what only hosts with self-stopping VMs keep.
type selfDriver struct{ driver }

var (
	_ vmctl.Driver      = driver{}
	_ vmctl.SelfStopper = selfDriver{}
)

// The kinds of faults of a driver.
const (
	driverStartFail   = "start-fail"   // nothing is started
	driverStartHang   = "start-hang"   // unresolved after d, and it never comes up
	driverStartLate   = "start-late"   // unresolved at once, and it comes up d later
	driverStartLie    = "start-lie"    // it says that it started it, and nothing runs
	driverStopFail    = "stop-fail"    // the VM runs on
	driverStopLie     = "stop-lie"     // it says that it stopped it, and it runs on
	driverStopReturn  = "stop-return"  // it stops, and its supervisor brings it back d later
	driverStopHang    = "stop-hang"    // the same, when the time for it is over
	driverKillFail    = "kill-fail"    // the VM runs on
	driverKillLie     = "kill-lie"     // the same, and it says that it does not
	driverListFail    = "list-fail"    // nothing is known
	driverListUnknown = "list-unknown" // what runs is unknown
	driverListEmpty   = "list-empty"   // it says that there is nothing
	driverListLie     = "list-lie"     // it says that nothing runs; never twice in a row
	driverDeadline    = "deadline-fail"
	driverPrepareFail = "prepare-fail"
)

// opTime is how long a start, stop or kill takes.
const opTime = 200 * time.Millisecond

func (w *world) takes(host, vm string) time.Duration {
	if !w.exact {
		return opTime
	}
	return opTime + time.Duration(fixed(host, vm)*float64(50*time.Millisecond))
}

func (d driver) faults(op, vm string) []*fault {
	w := d.p.h.w
	w.mu.Lock()
	fs := slices.Clone(d.p.h.driverFaults)
	w.mu.Unlock()
	return w.struck(fs, d.p.h.name, op, vm)
}

// enter is the beginning of each call: a process that is paused waits, one that
// has ended does nothing.
func (d driver) enter(op, vm string) ([]*fault, error) {
	if err := d.p.gate(); err != nil {
		return nil, err
	}
	d.p.step(op, vm, "before")
	return d.faults(op, vm), d.p.gate()
}

// spend lets a call take its time.
func (d driver) spend(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return d.p.gate()
	case <-d.p.dead:
		return errDead
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d driver) List(context.Context) ([]vmctl.VM, error) {
	hit, err := d.enter("list", "")
	if err != nil {
		return nil, err
	}
	if find(hit, driverListFail) != nil {
		return nil, errors.New("the hypervisor does not answer")
	}
	h := d.p.h
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	d.p.lists = false
	if find(hit, driverListEmpty) != nil {
		return nil, nil
	}
	h.lied = !h.lied && find(hit, driverListLie) != nil
	var list []vmctl.VM
	for _, name := range sortedKeys(h.vms) {
		s, v := record.VMStopped, h.vms[name]
		switch {
		case find(hit, driverListUnknown) != nil, v.supervisor != nil && !v.running:
			s = record.VMUnknown
		case v.running && !h.lied:
			s = record.VMRunning
		}
		list = append(list, vmctl.VM{Name: name, State: s})
		d.p.lists = d.p.lists || s == record.VMRunning && h.w.ledger.owner(name) != ""
	}
	return list, nil
}

func (d driver) Start(ctx context.Context, p vmctl.Permit) error {
	if err := p.Check(); err != nil {
		return err
	}
	d.p.h.w.ledger.mayStart(d.p, p.VM(), p.Generation())
	hit, err := d.enter("start", p.VM())
	if err != nil {
		return err
	}
	if find(hit, driverStartFail) != nil {
		return errors.New("no memory")
	}
	if find(hit, driverStartLie) != nil {
		return d.spend(ctx, opTime)
	}
	if f := find(hit, driverStartHang); f != nil {
		return fmt.Errorf("%w: %w", vmctl.ErrUnresolved, errors.Join(errRefused, d.spend(ctx, f.d)))
	}
	h, w := d.p.h, d.p.h.w
	late := find(hit, driverStartLate)
	takes := w.takes(h.name, p.VM())
	if late != nil {
		takes = late.d
	}
	w.mu.Lock()
	if h.vms[p.VM()] == nil {
		w.mu.Unlock()
		return errors.New("no such disk")
	}
	cmd := &pending{vm: p.VM(), by: d.p, boot: h.boots}
	h.pending = append(h.pending, cmd)
	w.mu.Unlock()
	came := make(chan bool, 1)
	time.AfterFunc(takes, func() { came <- h.comesUp(cmd, p.Generation()) })
	if late != nil {
		w.tell("%s: the start of %s is not answered; it comes up %s later", h.name, p.VM(), late.d)
		return vmctl.ErrUnresolved
	}
	select {
	case ok := <-came:
		if !ok {
			return errors.New("it was started and has ended at once")
		}
	case <-d.p.dead:
		return errDead
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", vmctl.ErrUnresolved, context.Cause(ctx))
	}
	d.p.step("start", p.VM(), "after")
	return d.p.gate()
}

// comesUp ends a start command, unless it was ended before.
func (h *host) comesUp(cmd *pending, generation uint64) bool {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	at := slices.Index(h.pending, cmd)
	if at < 0 || cmd.boot != h.boots || !h.on {
		return false
	}
	h.pending = slices.Delete(h.pending, at, at+1)
	return h.up(cmd.vm, generation)
}

func (d driver) Stop(ctx context.Context, vm string) error {
	hit, err := d.enter("stop", vm)
	if err != nil {
		return err
	}
	switch {
	case find(hit, driverStopFail) != nil:
		return errors.Join(errors.New("the guest does not answer"), d.spend(ctx, opTime))
	case find(hit, driverStopLie) != nil:
		return d.spend(ctx, opTime)
	case find(hit, driverStopHang) != nil:
		<-orDone(ctx, d.p.dead)
		return errors.New("it still runs")
	}
	if f := find(hit, driverStopReturn); f != nil {
		return d.returns(ctx, vm, f.d)
	}
	return d.ends(ctx, vm, "its daemon stopped it")
}

// returns stops a VM but not its supervisor, which brings it back.
func (d driver) returns(ctx context.Context, name string, after time.Duration) error {
	h := d.p.h
	h.w.mu.Lock()
	ran := h.vms[name] != nil && h.vms[name].running
	h.w.mu.Unlock()
	if err := d.ends(ctx, name, "its daemon stopped it, not its supervisor"); err != nil || !ran {
		return err
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.supervise(name, after)
	return nil
}

func (d driver) Kill(ctx context.Context, vm string) error {
	hit, err := d.enter("kill", vm)
	if err != nil {
		return err
	}
	if find(hit, driverKillFail) != nil {
		// Exclusion "instant failure": a node tries a kill that fails at once again at
		// once, and so on, and in a bubble no time would ever pass.
		return errors.Join(errors.New("the emulator does not end"), d.spend(ctx, opTime))
	}
	if find(hit, driverKillLie) != nil {
		return d.spend(ctx, opTime)
	}
	return d.ends(ctx, vm, "its daemon killed it")
}

// ends stops a VM, and with it what this process still does to start it. What an
// earlier process began goes on.
func (d driver) ends(ctx context.Context, vm, why string) error {
	if err := d.spend(ctx, d.p.h.w.takes(d.p.h.name, vm)); err != nil {
		return err
	}
	h := d.p.h
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.pending = slices.DeleteFunc(h.pending, func(c *pending) bool { return c.vm == vm && c.by == d.p })
	h.unsupervise(vm)
	h.down(vm, why)
	return nil
}

func (d driver) Healthy(context.Context, string) error { return nil }

func (d selfDriver) HandDeadline(t time.Duration) error {
	if d.p.ended() {
		return errDead
	}
	if find(d.faults("deadline", ""), driverDeadline) != nil {
		return errors.New("no space left on device")
	}
	h := d.p.h
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if t == vmctl.NoDeadline || h.limit == vmctl.NoDeadline || t < h.limit {
		h.w.note("%s: VMs' deadline %s", h.name, t)
	}
	if passed := h.limit != 0 && h.limit != vmctl.NoDeadline && h.clock.now() >= h.limit; passed && t > h.limit && d.p.lists {
		h.w.violated("deadline", "%s hands its VMs a deadline after one that has passed, and has not seen them stopped since", h.name)
	}
	h.limit = t
	h.arm()
	return nil
}

func (d selfDriver) Deadline() (time.Duration, error) {
	d.p.h.w.mu.Lock()
	defer d.p.h.w.mu.Unlock()
	return d.p.h.limit, nil
}

// orDone is closed when the context ends or the process does.
func orDone(ctx context.Context, dead <-chan struct{}) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		select {
		case <-ctx.Done():
		case <-dead:
		}
	}()
	return c
}

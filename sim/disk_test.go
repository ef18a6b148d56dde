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

// disks keeps vmctl.Provider for one process over its host.
type disks struct{ driver }

var _ vmctl.Provider = disks{}

// snapshot makes a new one of a VM; the lock is held.
func (w *world) snapshot(vm string, h *host) record.Snapshot {
	w.guids[vm]++
	return record.Snapshot{GUID: fmt.Sprintf("%s-%s%d", vm, h.name, w.guids[vm]), Created: time.Now().Add(time.Duration(h.wall.Load()))}
}

// hold notes that snapshots lie on a host; the lock is held.
func (h *host) hold(list []record.Snapshot) {
	for _, s := range list {
		h.held[s.GUID] = true
	}
}

// setAside keeps snapshots out of the way of all replication; the lock is held.
func (h *host) setAside(list []record.Snapshot) {
	for _, s := range list {
		h.aside[s.GUID] = true
	}
}

func (d disks) List(context.Context) ([]record.Dataset, error) {
	hit, err := d.enter("datasets", "")
	if err != nil {
		return nil, err
	}
	if find(hit, driverListFail) != nil {
		return nil, errors.New("the pool does not answer")
	}
	h := d.p.h
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	var list []record.Dataset
	for _, name := range sortedKeys(h.vms) {
		if v := h.vms[name]; v.disk != nil {
			list = append(list, record.Dataset{VM: name, Snapshots: slices.Clone(v.disk), Written: v.written})
		}
	}
	for _, name := range sortedKeys(h.replicas) {
		list = append(list, record.Dataset{VM: name, Snapshots: slices.Clone(h.replicas[name])})
	}
	slices.SortStableFunc(list, func(a, b record.Dataset) int { return slices.Compare([]byte(a.VM), []byte(b.VM)) })
	return list, nil
}

func (d disks) Prepare(_ context.Context, p vmctl.Permit, guid string) error {
	if err := p.Check(); err != nil {
		return err
	}
	hit, err := d.enter("prepare", p.VM())
	if err != nil {
		return err
	}
	if find(hit, driverPrepareFail) != nil {
		return errors.New("the pool is busy")
	}
	h, name := d.p.h, p.VM()
	w := h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	from := h.replicas[name]
	if v := h.vms[name]; v != nil {
		if v.running {
			w.violated("disks", "the disk of %s is prepared on %s while it runs there", name, h.name)
		}
		from = v.disk
	}
	at := slices.IndexFunc(from, func(s record.Snapshot) bool { return s.GUID == guid })
	if at < 0 {
		return fmt.Errorf("no snapshot %s", guid)
	}
	w.ledger.mayPrepare(h, name, guid, p.Generation())
	h.setAside(from[at+1:])
	delete(h.replicas, name)
	h.vms[name] = &vm{disk: slices.Clone(from[:at+1])}
	h.prepared[name] = p.Generation()
	w.note("%s: the disk of %s is made ready at %s", h.name, name, guid)
	return nil
}

func (d disks) Snapshot(_ context.Context, name string) error {
	if _, err := d.enter("snapshot", name); err != nil {
		return err
	}
	h := d.p.h
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	v := h.vms[name]
	if v == nil || v.disk == nil {
		return errors.ErrUnsupported
	}
	h.snap(name)
	for _, n := range h.w.names {
		h.w.send(name, v.disk, h, h.w.hosts[n])
	}
	return nil
}

// snap adds a snapshot to a VM's own disk; the lock is held.
func (h *host) snap(name string) {
	v := h.vms[name]
	s := h.w.snapshot(name, h)
	v.disk = append(v.disk, s)
	v.written = v.running
	h.held[s.GUID] = true
}

// flow is the replication of one VM, by commands of the hosts that know nothing
// of leases: whoever runs it snapshots and sends it.
type flow struct {
	vm    string
	every time.Duration
	timer *time.Timer
	p     float64       // of each receiver, each time
	lag   time.Duration // for how long a stream is under way
}

func (w *world) replicate(vm string, every time.Duration, p float64, lag time.Duration) {
	f := &flow{vm: vm, every: every, p: p, lag: lag}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.flows[vm]; old != nil {
		old.timer.Stop()
	}
	w.flows[vm] = f
	f.timer = time.AfterFunc(every, func() { w.flowOnce(f) })
}

func (w *world) flowOnce(f *flow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flows[f.vm] != f {
		return
	}
	for _, n := range w.names {
		h := w.hosts[n]
		if v := h.vms[f.vm]; v == nil || !v.running || v.disk == nil {
			continue
		}
		h.snap(f.vm)
		for _, o := range w.names {
			switch {
			case f.p < 1 && w.draw("flow", f.vm, o) >= f.p:
			case f.lag > 0:
				w.stream(f, h, w.hosts[o])
			default:
				w.send(f.vm, h.vms[f.vm].disk, h, w.hosts[o])
			}
		}
	}
	f.timer.Reset(f.every)
}

// stream sends what the disk holds now; it arrives later, whatever became of the
// lease, the daemon or the VM meanwhile, if both hosts stay up. The lock is held.
func (w *world) stream(f *flow, from, to *host) {
	src, boots, at := slices.Clone(from.vms[f.vm].disk), [2]int{from.boots, to.boots}, w.now()
	time.AfterFunc(f.lag, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if from.on && to.on && boots == [2]int{from.boots, to.boots} && to.received[f.vm] <= at {
			w.send(f.vm, src, from, to)
		}
	})
}

// send brings another host's replica up to what the source sent; the lock is
// held. A disk of its own is never received over, but for one that it lost to the
// source: that is set aside first, as the hosts' commands do.
func (w *world) send(name string, src []record.Snapshot, from, to *host) {
	if to == from || !to.on || to.spec.role == "witness" || slices.Contains(to.spec.services, name) || to.spec.noDriver {
		return
	}
	if own := to.vms[name]; own != nil {
		if own.running || to.starting(name) || w.ledger.owner(name) != from.name {
			return
		}
		to.setAside(own.disk)
		delete(to.vms, name)
	}
	if old := to.replicas[name]; len(old) > 0 && !slices.ContainsFunc(src, func(s record.Snapshot) bool { return s.GUID == old[len(old)-1].GUID }) {
		to.setAside(old)
	}
	if len(src) < len(to.replicas[name]) {
		to.setAside(to.replicas[name])
	}
	to.replicas[name] = slices.Clone(src)
	to.received[name] = w.now()
	to.hold(src)
}

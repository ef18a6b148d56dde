package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// world is what stands outside the program: the hosts' VMs and disks, and the
// rules that must never be broken. It knows nothing of leases or ledgers.
type world struct {
	t     *testing.T
	store *memory.Store
	began time.Time

	mu     sync.Mutex
	hosts  map[string]*fakeHost
	faults []string
	stolen bool // a mastership was taken by force, which waits for nobody
	runs   []*running
	ends   []func() // what else runs
}

// end crashes what still runs, so that a failed test ends too.
func (w *world) end() {
	for _, r := range w.runs {
		r.cancel(ErrCrash)
		<-r.done
	}
	for _, end := range w.ends {
		end()
	}
}

// fakeHost keeps vmctl.Driver, vmctl.SelfStopper and vmctl.Provider.
type fakeHost struct {
	w        *world
	name     string
	self     bool // its VMs stop themselves
	vms      map[string]*fakeVM
	replicas map[string][]record.Snapshot
	limit    time.Duration
	listErr  error
	startErr error
	started  int
	ahead    atomic.Int64 // of the other hosts' clocks, after it slept
}

// now is the host's boot-time clock.
func (h *fakeHost) now() time.Duration { return h.w.now() + time.Duration(h.ahead.Load()) }

type fakeVM struct {
	running bool
	disk    []record.Snapshot
	timer   *time.Timer
}

func newWorld(t *testing.T) *world {
	return &world{t: t, store: memory.New(), began: time.Now(), hosts: map[string]*fakeHost{}}
}

// now is the boot-time clock of all hosts: one synctest bubble has one clock.
func (w *world) now() time.Duration { return time.Since(w.began) + time.Hour }

func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
	w.t.Errorf(format, args...)
}

func (w *world) host(name string, self bool, vms ...string) *fakeHost {
	h := &fakeHost{w: w, name: name, self: self, vms: map[string]*fakeVM{}, replicas: map[string][]record.Snapshot{}}
	for _, vm := range vms {
		h.vms[vm] = &fakeVM{disk: []record.Snapshot{{GUID: vm + "-0", Created: time.Now()}}}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[name] = h
	return h
}

// replicate snapshots a running VM's disk and copies it to all other hosts.
func (w *world) replicate(vm string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hosts {
		v := h.vms[vm]
		if v == nil || !v.running {
			continue
		}
		v.disk = append(v.disk, record.Snapshot{GUID: fmt.Sprintf("%s-%s-%d", vm, h.name, len(v.disk)), Created: time.Now()})
		for _, o := range w.hosts {
			if o != h && o.vms[vm] == nil {
				o.replicas[vm] = slices.Clone(v.disk)
			}
		}
	}
}

func (w *world) runsOn(vm string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var on []string
	for n, h := range w.hosts {
		if v := h.vms[vm]; v != nil && v.running {
			on = append(on, n)
		}
	}
	slices.Sort(on)
	return on
}

// crash ends everything on a host, as a loss of power does.
func (h *fakeHost) crash() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	for _, v := range h.vms {
		v.running = false
	}
}

func (h *fakeHost) List(context.Context) ([]vmctl.VM, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.listErr != nil {
		return nil, h.listErr
	}
	var list []vmctl.VM
	for n, v := range h.vms {
		s := record.VMStopped
		if v.running {
			s = record.VMRunning
		}
		list = append(list, vmctl.VM{Name: n, State: s})
	}
	slices.SortFunc(list, func(a, b vmctl.VM) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
	return list, nil
}

func (h *fakeHost) Start(_ context.Context, p vmctl.Permit) error {
	if err := p.Check(); err != nil {
		return err
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.startErr != nil {
		return h.startErr
	}
	v := h.vms[p.VM()]
	if v == nil {
		return errors.New("no such disk")
	}
	if h.self && (h.limit == 0 || h.w.now() >= h.limit) {
		return errors.New("the deadline has passed")
	}
	for n, o := range h.w.hosts {
		if x := o.vms[p.VM()]; x != nil && x.running && o != h {
			h.w.fault("%s starts on %s while it runs on %s", p.VM(), h.name, n)
		}
	}
	v.running = true
	h.started++
	h.arm(v)
	return nil
}

// arm sets the timer by which a self-stopping VM ends; the lock is held.
func (h *fakeHost) arm(v *fakeVM) {
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
	}
	if h.self && v.running && h.limit != vmctl.NoDeadline {
		v.timer = time.AfterFunc(h.limit-h.w.now(), func() {
			h.w.mu.Lock()
			defer h.w.mu.Unlock()
			v.running = false
		})
	}
}

func (h *fakeHost) Stop(ctx context.Context, vm string) error { return h.Kill(ctx, vm) }

func (h *fakeHost) Kill(_ context.Context, vm string) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if v := h.vms[vm]; v != nil {
		v.running = false
		h.arm(v)
	}
	return nil
}

func (h *fakeHost) Healthy(context.Context, string) error { return nil }

// selfStopping adds what only hosts with self-stopping VMs keep.
type selfStopping struct{ *fakeHost }

func (h selfStopping) HandDeadline(d time.Duration) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.limit = d
	for _, v := range h.vms {
		h.arm(v)
	}
	return nil
}

func (h selfStopping) Deadline() (time.Duration, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.limit, nil
}

// disks is the provider side.
type disks struct{ *fakeHost }

func (h disks) List(context.Context) ([]record.Dataset, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	var list []record.Dataset
	for vm, v := range h.vms {
		list = append(list, record.Dataset{VM: vm, Snapshots: slices.Clone(v.disk), Written: v.running})
	}
	for vm, s := range h.replicas {
		if h.vms[vm] == nil {
			list = append(list, record.Dataset{VM: vm, Snapshots: slices.Clone(s)})
		}
	}
	slices.SortFunc(list, func(a, b record.Dataset) int { return slices.Compare([]byte(a.VM), []byte(b.VM)) })
	return list, nil
}

func (h disks) Prepare(_ context.Context, p vmctl.Permit, guid string) error {
	if err := p.Check(); err != nil {
		return err
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	src := h.replicas[p.VM()]
	if v := h.vms[p.VM()]; v != nil {
		if v.running {
			h.w.fault("the disk of %s is prepared on %s while it runs there", p.VM(), h.name)
		}
		src = v.disk
	}
	at := slices.IndexFunc(src, func(s record.Snapshot) bool { return s.GUID == guid })
	if at < 0 {
		return fmt.Errorf("no snapshot %s", guid)
	}
	h.vms[p.VM()] = &fakeVM{disk: slices.Clone(src[:at+1])}
	return nil
}

func (h disks) Snapshot(_ context.Context, vm string) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	v := h.vms[vm]
	v.disk = append(v.disk, record.Snapshot{GUID: fmt.Sprintf("%s-%s-last-%d", vm, h.name, len(v.disk)), Created: time.Now()})
	for _, o := range h.w.hosts {
		if o.fakeHost() != h.fakeHost && o.vms[vm] == nil {
			o.replicas[vm] = slices.Clone(v.disk)
		}
	}
	return nil
}

func (h *fakeHost) fakeHost() *fakeHost { return h }

// ask writes a request as an operator does.
func (w *world) ask(r record.Request) string {
	ctx := context.Background()
	obj, err := w.store.Get(ctx, clusterKey)
	if err != nil {
		w.t.Fatal(err)
	}
	var c record.Cluster
	if err := record.Open(record.KindCluster, obj.Value, &c); err != nil {
		w.t.Fatal(err)
	}
	if r.Seen == 0 {
		if r.Seen, err = ledger.Last(ctx, w.store); err != nil {
			w.t.Fatal(err)
		}
	}
	r.Cluster, r.ID, r.By, r.Time = c.ID, record.NewID(), "operator", time.Now()
	data, err := record.Seal(record.KindRequest, r)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.Create(ctx, record.RequestKey(r.ID), data); err != nil {
		w.t.Fatal(err)
	}
	return r.ID
}

// tail reads the newest entry from outside.
func (w *world) tail() ledger.Stored {
	seq, err := ledger.Last(context.Background(), w.store)
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := ledger.Read(context.Background(), w.store, "", seq)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// until lets the world go on until a condition holds, and fails after a bound.
func (w *world) until(what string, bound time.Duration, done func() bool) time.Duration {
	w.t.Helper()
	began := w.now()
	for !done() {
		if w.now()-began > bound {
			w.t.Fatalf("not within %s: %s", bound, what)
		}
		w.wait(50 * time.Millisecond)
	}
	return w.now() - began
}

// wait lets time pass, and checks the rules at each step.
func (w *world) wait(d time.Duration) {
	w.t.Helper()
	for end := w.now() + d; w.now() < end; {
		<-time.After(min(50*time.Millisecond, end-w.now()))
		synctest.Wait()
		w.check()
	}
}

func (w *world) check() {
	var live []*running
	for _, r := range w.runs {
		select {
		case <-r.done:
		default:
			if r.store.Store == w.store {
				live = append(live, r)
			}
		}
	}
	if m := masters(live...); len(m) > 1 && !w.stolen {
		w.fault("two masters at one instant: %v", m)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	on := map[string]string{}
	for n, h := range w.hosts {
		for vm, v := range h.vms {
			if v.running && on[vm] != "" {
				w.fault("%s runs on both %s and %s", vm, on[vm], n)
			}
			if v.running {
				on[vm] = n
			}
		}
	}
}

func masters(rs ...*running) []string {
	var all []string
	for _, r := range rs {
		if _, ok := r.Primary(); ok {
			all = append(all, r.cfg.Name)
		}
	}
	return all
}

func (w *world) one(rs ...*running) string {
	w.t.Helper()
	var name string
	w.until("one master", 3*testTimings.Timeout, func() bool {
		m := masters(rs...)
		if len(m) > 1 {
			w.t.Fatalf("two masters: %v", m)
		}
		if len(m) == 1 {
			name = m[0]
		}
		return name != ""
	})
	return name
}

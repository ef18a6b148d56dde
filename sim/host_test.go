package sim

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// host is one machine: its power, clocks, VMs, disks and local memory. All but
// the clock is under the world's lock.
type host struct {
	w    *world
	name string
	spec spec

	on      bool
	boots   int
	clock   *clock
	wall    atomic.Int64 // how wrong the wall clock is
	memory  *memoryFiles
	proc    *proc   // nil: no daemon runs
	kennel  *kennel // of this boot, or an earlier one; nil: nobody asked for it yet
	ordered bool    // its last daemon has ended in order
	// mounted is what this host sees in the store's place; nil: what all see.
	mounted *shared
	wanted  bool // a daemon should run
	// forgets: its local memory was lost, and it is still a member.
	forgets bool

	vms      map[string]*vm
	replicas map[string][]record.Snapshot
	received map[string]time.Duration // when each replica was, last
	held     map[string]bool          // guids that ever lay on this host
	aside    map[string]bool          // guids kept aside
	limit    time.Duration            // handed to self-stopping VMs
	timer    *time.Timer              // by which they end
	pending  []*pending               // starts under way
	// prepared is the generation for which a VM's disk was made ready here last,
	// ran the newest under which it came up.
	prepared, ran map[string]uint64

	faults, driverFaults []*fault
	troubled             time.Duration // when trouble of its own ended last
	lied                 bool          // its driver did in its last answer
	tainted              bool          // its clock stood still, or it was robbed: its word as master is not to be trusted
}

// vm is a VM's disk, or definition, that a host has as its own.
type vm struct {
	running    bool
	generation uint64
	disk       []record.Snapshot // nil: a service without a disk
	written    bool              // since the newest snapshot
	// supervisor brings it back after it ended by itself; nil: none is about to.
	supervisor *time.Timer
}

// pending is a start command under way.
type pending struct {
	vm   string
	by   *proc
	boot int
}

func (w *world) addHost(s spec) *host {
	h := &host{
		w: w, name: s.name, spec: s, memory: newMemory(w), vms: map[string]*vm{},
		replicas: map[string][]record.Snapshot{}, received: map[string]time.Duration{}, held: map[string]bool{}, aside: map[string]bool{},
		prepared: map[string]uint64{}, ran: map[string]uint64{},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range s.vms {
		h.vms[v] = &vm{disk: []record.Snapshot{w.snapshot(v, h)}}
		h.hold(h.vms[v].disk)
	}
	for _, v := range s.services {
		h.vms[v] = &vm{}
	}
	w.hosts[s.name] = h
	w.names = append(w.names, s.name)
	slices.Sort(w.names)
	h.boot()
	return h
}

// boot turns the power on; the lock is held.
func (h *host) boot() {
	h.on = true
	h.boots++
	h.clock = newClock(time.Duration(h.boots)*time.Minute, h.spec.rate)
	h.limit = 0
}

func (h *host) bootID() string { return fmt.Sprintf("%s-boot-%d", h.name, h.boots) }

// powerOff ends everything on a host at once.
func (h *host) powerOff() {
	if p := h.live(); p != nil {
		p.kill()
	}
	w := h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !h.on {
		return
	}
	h.on, h.wanted, h.pending, h.ordered = false, false, nil, false
	if h.kennel != nil {
		h.kennel.off()
	}
	h.troubled = w.now()
	for _, name := range sortedKeys(h.vms) {
		h.unsupervise(name)
		h.down(name, "power off")
	}
}

// live is the daemon that runs, or nil.
func (h *host) live() *proc {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.proc
}

// powerOn boots it again.
func (h *host) powerOn() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if !h.on {
		h.boot()
		h.troubled = h.w.now()
	}
}

// up brings a VM up, whoever started it and however late; the lock is held. It
// says whether it runs.
func (h *host) up(name string, generation uint64) bool {
	w, v := h.w, h.vms[name]
	if v == nil || v.running {
		return v != nil
	}
	if h.spec.self && (h.limit == 0 || h.clock.now() >= h.limit) {
		return false
	}
	for _, n := range w.names {
		if o := w.hosts[n].vms[name]; o != nil && o.running && n != h.name {
			w.violated("one place", "%s comes up on %s while it runs on %s", name, h.name, n)
		}
	}
	w.ledger.mayRun(h, name, generation)
	v.running, v.generation, v.written = true, generation, v.disk != nil
	h.ran[name] = max(h.ran[name], generation)
	w.stats.starts++
	w.decide("%s runs on %s, generation %d%s", name, h.name, generation, at(v.disk))
	h.arm()
	return true
}

func at(disk []record.Snapshot) string {
	if len(disk) == 0 {
		return ""
	}
	return ", disk at " + disk[len(disk)-1].GUID
}

// down ends a VM; the lock is held.
func (h *host) down(name, why string) {
	v := h.vms[name]
	if v == nil || !v.running {
		return
	}
	v.running = false
	h.arm()
	h.w.decide("%s stopped on %s: %s", name, h.name, why)
}

// supervise lets a supervisor bring a VM up again some time later, unless it is
// ended before; the lock is held.
func (h *host) supervise(name string, after time.Duration) {
	v, boot := h.vms[name], h.boots
	if v == nil {
		return
	}
	h.unsupervise(name)
	var t *time.Timer
	t = time.AfterFunc(after, func() {
		h.w.mu.Lock()
		defer h.w.mu.Unlock()
		if v.supervisor == t && h.vms[name] == v && h.on && h.boots == boot {
			v.supervisor = nil
			h.w.note("%s: the supervisor of %s brings it back", h.name, name)
			h.up(name, v.generation)
		}
	})
	v.supervisor = t
}

// unsupervise ends a VM's supervisor; the lock is held.
func (h *host) unsupervise(name string) {
	if v := h.vms[name]; v != nil && v.supervisor != nil {
		v.supervisor.Stop()
		v.supervisor = nil
	}
}

// arm sets the timer by which self-stopping VMs end; the lock is held.
func (h *host) arm() {
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	if !h.spec.self || len(h.runs()) == 0 || h.limit == vmctl.NoDeadline {
		return
	}
	boot := h.boots
	h.timer = time.AfterFunc(h.clock.until(h.limit), func() {
		h.w.mu.Lock()
		defer h.w.mu.Unlock()
		if h.boots != boot || h.limit == vmctl.NoDeadline || h.clock.now() < h.limit {
			return
		}
		for _, name := range h.runs() {
			h.w.stats.selfStops++
			h.down(name, "by itself at its deadline")
		}
	})
}

// runs lists what runs on a host now; the lock is held.
func (h *host) runs() []string {
	var all []string
	for _, name := range sortedKeys(h.vms) {
		if h.vms[name].running {
			all = append(all, name)
		}
	}
	return all
}

// starting says whether a start of the VM may still come up; the lock is held.
func (h *host) starting(name string) bool {
	return slices.ContainsFunc(h.pending, func(p *pending) bool { return p.vm == name && p.boot == h.boots })
}

// healthySince says since when the host has had no trouble of its own; the lock
// is held.
func (h *host) healthySince() time.Duration {
	if h.proc == nil || h.proc.isPaused() || len(h.faults) > 0 || h.mounted != nil {
		return h.w.now()
	}
	return h.troubled
}

// delayed: a call of the host has taken long, perhaps for longer than what delayed it
// went on.
func (h *host) delayed() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.troubled = h.w.now()
}

// loseMemory is a reinstalled host: its pool is still there.
func (h *host) loseMemory() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.mounted != nil || h.w.swapped != nil {
		return // it may found a cluster where it sees none
	}
	if !h.w.ledger.candidateBut(h.name) {
		return // nobody could take it in again
	}
	h.memory, h.forgets = newMemory(h.w), true
	clear(h.prepared)
	clear(h.ran)
}

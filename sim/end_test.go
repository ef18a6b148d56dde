package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// The bounds of liveness: recovered is by when, after the faults have stopped and
// all hosts are up, everything has to run again, or an alarm has to say why not.
const (
	recovered = 150 * time.Second
	tended    = 5 * time.Second
)

// finish stops all faults and waits until all is well again.
func (w *world) finish() {
	w.heal("", "")
	_ = doStore(w, []string{storeBack})
	for _, n := range w.names {
		h := w.hosts[n]
		w.mu.Lock()
		if h.mounted != nil && !h.left() {
			h.mounted, h.troubled = nil, w.now()
		}
		w.mu.Unlock()
		h.resume()
		h.wall.Store(0)
		if p := h.live(); p != nil {
			p.mu.Lock()
			p.traps = nil
			p.mu.Unlock()
		}
	}
	began := w.now()
	for w.now() < began+recovered {
		w.tend()
		for range int(tended / time.Second) {
			if !w.pass(time.Second, time.Second) {
				return
			}
			if w.missing() == "" {
				return
			}
		}
	}
	what := w.missing()
	if why := w.alarms(what); why != "" {
		w.tell("%s, and an alarm says so: %s", what, why)
		w.mu.Lock()
		w.excuses = append(w.excuses, what+": "+why)
		w.mu.Unlock()
		return
	}
	for _, p := range w.running() {
		w.tell("%s is %s: %q", p.h.name, p.node.State(), p.node.Alarms())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violated("liveness", "%s after the faults stopped: %s", recovered, what)
}

// missing says what is not as it should be; "" if all is well.
func (w *world) missing() string {
	var masters []string
	candidates := false
	for _, p := range w.running() {
		if _, ok := p.primary(); ok {
			masters = append(masters, p.h.name)
		}
		s := p.h.spec
		candidates = candidates || s.role != ledger.RoleWorker && s.mode == node.ModeAuto && s.promotion == node.PromotionAutomatic
	}
	s := w.ledger.state()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(masters) != 1 && candidates {
		return fmt.Sprintf("masters: %v", masters)
	}
	if !s.Armed || s.Frozen {
		return "cluster is frozen"
	}
	for _, n := range w.names {
		for _, name := range sortedKeys(w.hosts[n].vms) {
			if on := w.runsOn(name); len(on) != 1 {
				return fmt.Sprintf("vm %s of %s runs on %v", name, s.VMs[name].Owner, on)
			}
		}
	}
	for _, n := range w.names {
		if m, ok := s.Members[n]; w.hosts[n].forgets || !ok || m.Fence != nil || m.Left != "" {
			return fmt.Sprintf("node %s has not rejoined", n)
		}
	}
	for _, n := range sortedKeys(s.Failovers) {
		return fmt.Sprintf("node %s: its failover is not complete", n)
	}
	return ""
}

// runsOn lists the hosts on which a VM runs; the lock is held.
func (w *world) runsOn(name string) []string {
	var on []string
	for _, n := range w.names {
		if v := w.hosts[n].vms[name]; v != nil && v.running {
			on = append(on, n)
		}
	}
	return on
}

// alarms finds what the cluster itself says about what is missing: an alarm of a
// node, a problem in the ledger, or what a host published about a VM.
func (w *world) alarms(missing string) string {
	kind, rest, _ := strings.Cut(missing, " ")
	name, _, _ := strings.Cut(rest, " ")
	name = strings.TrimSuffix(name, ":")
	s := w.ledger.state()
	about := []string{name}
	if kind == "vm" {
		about = append(about, s.VMs[name].Owner+" ")
		for _, n := range sortedKeys(s.Failovers) {
			if text := s.Failovers[n].Moves[name].Problem; text != "" {
				return text
			}
		}
		if c, ok := s.Conflicts[name]; ok {
			return c.Why
		}
		if hb := w.store.read(record.InventoryKey(s.VMs[name].Owner)); hb != nil {
			if inv, err := record.OpenInventory(w.ledger.tail.Load().Cluster, s.VMs[name].Owner, hb); err == nil {
				if v := inv.VM(name); v != nil && v.Problem != "" {
					return v.Problem
				}
			}
		}
	}
	for _, p := range w.running() {
		for _, text := range p.node.Alarms() {
			if kind == "masters:" || slices.ContainsFunc(about, func(a string) bool {
				return strings.Contains(text+" ", a+" ") || strings.Contains(text, a) && kind == "vm"
			}) {
				return text
			}
		}
	}
	return ""
}

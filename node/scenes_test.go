package node

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// What many tests begin with, or let happen.

func witness(c *Config) { c.Role = ledger.RoleWitness }

// standby waits until the nodes follow a master.
func (w *world) standby(rs ...*running) {
	w.t.Helper()
	w.until("all are standby", 10*time.Second, func() bool {
		return !slices.ContainsFunc(rs, func(r *running) bool { return r.State() != StateStandby })
	})
}

// arm arms the cluster and waits until the VMs run.
func (w *world) arm(vms ...string) {
	w.t.Helper()
	w.ask(record.Request{Action: record.ActArm})
	w.until("all run", 20*time.Second, func() bool {
		return !slices.ContainsFunc(vms, func(vm string) bool { return len(w.runsOn(vm)) != 1 })
	})
}

// replicated lets so many seconds pass, with a snapshot copied in each.
func (w *world) replicated(seconds int, vms ...string) {
	w.t.Helper()
	for range seconds {
		for _, vm := range vms {
			w.replicate(vm)
		}
		w.wait(time.Second)
	}
}

// change alters what stands outside of the program.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// powerOff ends a process and all that runs on its host.
func (w *world) powerOff(r *running) {
	r.kill()
	w.hosts[r.cfg.Name].crash()
}

// confirmFenced gives the operator's word that a node runs nothing, bound to the
// heartbeat that another node saw last of it.
func (w *world) confirmFenced(node string, seen *running) {
	hb := seen.getView().nodes[node].Last
	w.ask(record.Request{Action: record.ActConfirmFenced, Node: node, Incarnation: hb.Incarnation, Heartbeat: hb.Seq})
}

func (w *world) fenced(node string) {
	w.t.Helper()
	w.until(node+" is being fenced", 60*time.Second, func() bool { return w.tail().State.Members[node].Fence != nil })
}

func (w *world) unfenced(node string) {
	w.t.Helper()
	w.until(node+" is not fenced any more", 60*time.Second, func() bool { return w.tail().State.Members[node].Fence == nil })
}

// answer waits for what the master answers to a request.
func (w *world) answer(id string) ledger.Answer {
	w.t.Helper()
	var a ledger.Answer
	w.until("the request is answered", 5*time.Second, func() (ok bool) { a, ok = w.tail().State.Answers[id]; return ok })
	return a
}

// stays checks that a VM runs on that host, or on none if it is "".
func (w *world) stays(vm, host string) {
	w.t.Helper()
	want := []string{host}
	if host == "" {
		want = nil
	}
	if on := w.runsOn(vm); !slices.Equal(on, want) {
		w.t.Errorf("%s runs on %v, want %v: %+v", vm, on, want, w.tail().State.VMs[vm])
	}
}

// comes waits until a VM runs on a host.
func (w *world) comes(vm, host string, bound time.Duration) {
	w.t.Helper()
	w.until(vm+" runs on "+host, bound, func() bool { return slices.Equal(w.runsOn(vm), []string{host}) })
}

// alarms says whether a node tells its operator of something now.
func (r *running) alarms(text string) bool {
	return slices.ContainsFunc(r.Alarms(), func(a string) bool { return strings.Contains(a, text) })
}

// repair continues the ledger as the operator's repair does.
func (w *world) repair(change func(s *ledger.State)) {
	w.t.Helper()
	ctx := context.Background()
	survey, err := ledger.Walk(ctx, w.store, w.tail().Cluster)
	if err != nil {
		w.t.Fatal(err)
	}
	e := survey.Repair(survey.End, ledger.Evidence{})
	e.Node, e.By, e.Time = "operator", "operator", time.Now()
	change(&e.State)
	data, err := record.Seal(record.KindEntry, e)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.Create(ctx, ledger.Key(e.Seq), data); err != nil {
		w.t.Fatal(err)
	}
}

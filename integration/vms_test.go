package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/demo/check"
	"github.com/hoster-ha/hoster-ha/demo/vm"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/vmctl/deadline"
)

// lab is a cluster whose daemons run demonstration VMs, replicated each second
// by a process a host that knows nothing of the daemons.
type lab struct {
	*cluster
	root        string
	hosts       map[string]vm.Host
	replicators map[string]*process
	evidence    map[string]*records // what was read of each file
	prepare     func(*daemon)       // before its first start; nil: as it is
}

// newLab makes hosts with their VMs, starts all, and arms the cluster. Where
// the VMs do not stop themselves for the daemon, they do in ten minutes, so
// that they end also when everything that knows of them was killed.
func newLab(tb testing.TB, selfStop bool, vms map[string][]string, extra ...string) *lab {
	tb.Helper()
	return newLabAt(tb, "", selfStop, vms, extra...)
}

// newLabAt does so over the store at an address; "" is a folder of its own.
func newLabAt(tb testing.TB, address string, selfStop bool, vms map[string][]string, extra ...string) *lab {
	tb.Helper()
	l := emptyLab(tb, address, extra...)
	l.begin(selfStop, vms)
	return l
}

// emptyLab has no hosts yet.
func emptyLab(tb testing.TB, address string, extra ...string) *lab {
	tb.Helper()
	c := newCluster(tb, address, extra...)
	l := &lab{
		cluster: c, root: filepath.Join(c.dir, rootName), hosts: map[string]vm.Host{},
		replicators: map[string]*process{}, evidence: map[string]*records{},
	}
	if err := os.MkdirAll(l.root, 0o700); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.end)
	return l
}

// begin makes its hosts with their VMs, starts all and arms the cluster.
func (l *lab) begin(selfStop bool, vms map[string][]string) {
	tb := l.tb
	tb.Helper()
	names := sortedKeys(vms)
	for _, name := range names {
		h, err := vm.NewHost(l.root, name)
		if err == nil {
			err = h.Create(vms[name]...)
		}
		if err != nil {
			tb.Fatal(err)
		}
		l.hosts[name] = h
		d := l.add(name, "--config", l.config(name, selfStop))
		if l.prepare != nil {
			l.prepare(d)
		}
		d.start()
	}
	for _, name := range names {
		l.replicate(name)
	}
	l.observe()
	l.settle()
	l.op("arm")
	l.await("every VM runs and is replicated", func() bool { return l.allRun() && l.replicated() })
}

// config writes a host's configuration.
func (l *lab) config(host string, selfStop bool) string {
	l.tb.Helper()
	tool := []string{binary, vm.Command, "--root", l.root, "--host", host}
	driverTool := tool
	if !selfStop {
		boot, err := local.BootID()
		if err != nil {
			l.tb.Fatal(err)
		}
		limit := l.limit(host)
		if err := deadline.WriteDeadline(limit, boot, boottime.Now()+vmsLive); err != nil {
			l.tb.Fatal(err)
		}
		driverTool = append([]string{"/usr/bin/env", vm.EnvDeadline + "=" + limit, vm.EnvBootID + "=" + boot}, tool...)
	}
	command := func(tool []string, args ...string) []string { return slices.Concat(tool, args) }
	// JSON is YAML.
	data, err := json.MarshalIndent(map[string]any{
		"driver": map[string]any{
			"kind": "command", "self_stop": selfStop,
			"list": command(driverTool, "list"), "start": command(driverTool, "start", "{vm}"),
			"stop": command(driverTool, "stop", "{vm}"), "kill": command(driverTool, "kill", "{vm}"),
			"monitor": command(driverTool, "monitor", "{vm}"),
		},
		"snapshots": map[string]any{
			"kind": "command", "list": command(tool, "snapshots"),
			"prepare":  command(tool, "prepare", "{vm}", "{guid}", "{generation}"),
			"snapshot": command(tool, "snapshot", "{vm}"),
		},
	}, "", "  ")
	if err != nil {
		l.tb.Fatal(err)
	}
	path := filepath.Join(l.dir, host+".yaml")
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		l.tb.Fatal(err)
	}
	return path
}

// vmsLive is how long VMs live that do not stop themselves for the daemon.
const vmsLive = 10 * time.Minute

// limit is the file of the deadline by which those of a host do.
func (l *lab) limit(host string) string { return filepath.Join(l.dir, "limit-"+host) }

// limitVMs lets such VMs live on: a run may take longer than they would.
func (l *lab) limitVMs() {
	l.tb.Helper()
	boot, err := local.BootID()
	for host := range l.hosts {
		if err == nil {
			err = deadline.WriteDeadline(l.limit(host), boot, boottime.Now()+vmsLive)
		}
	}
	if err != nil {
		l.tb.Fatal(err)
	}
}

// replicate starts a host's replication.
func (l *lab) replicate(host string) {
	l.tb.Helper()
	f, err := os.OpenFile(filepath.Join(l.dir, host+"-replicate.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		l.tb.Fatal(err)
	}
	defer f.Close()
	l.replicators[host] = launch(l.tb, f, vm.Command, "--root", l.root, "--host", host, "replicate", "--every", "1s")
}

// powerOff ends all that runs on a host at once: the daemon, its VMs and the
// replication.
func (l *lab) powerOff(d *daemon) {
	l.tb.Helper()
	d.kill()
	l.replicators[d.name].kill()
	l.endVMs(d.name)
}

// endVMs kills the VMs that run on a host.
func (l *lab) endVMs(host string) {
	l.tb.Helper()
	h := l.hosts[host]
	states, err := h.List()
	if err != nil {
		l.tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, s := range states {
		if err := h.Kill(ctx, s.Name); err != nil {
			l.tb.Error(err)
		}
	}
}

// powerOn starts the host's daemon and replication again.
func (l *lab) powerOn(d *daemon) {
	l.tb.Helper()
	if l.replicators[d.name].ended() {
		l.replicate(d.name)
	}
	d.start()
}

// end ends everything and has the VMs' own records judged, with the ledger.
func (l *lab) end() {
	for _, d := range l.daemons {
		if d.proc != nil {
			d.kill()
		}
	}
	for _, p := range l.replicators {
		p.kill()
	}
	if err := vm.EndAll(l.root); err != nil {
		l.tb.Error(err)
	}
	for _, fault := range l.vmFaults() {
		l.tb.Error(fault)
	}
	removeAll(l.root)
}

// vmFaults are what the VMs' records and disks tell against the program: by
// the demonstration's checker, and held against the ledger.
func (l *lab) vmFaults() []string {
	l.tb.Helper()
	report, err := check.Check(l.root)
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for _, v := range report.Violations {
		faults = append(faults, v.String())
	}
	return append(faults, l.againstLedger()...)
}

// runsOn lists the hosts on which a VM runs.
func (l *lab) runsOn(name string) []string {
	l.tb.Helper()
	var on []string
	for _, host := range sortedKeys(l.hosts) {
		states, err := l.hosts[host].List()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.tb.Fatal(err)
		}
		for _, s := range states {
			if s.Name == name && s.Running {
				on = append(on, host)
			}
		}
	}
	return on
}

// allRun: every VM runs where the ledger says, and no failover is under way.
func (l *lab) allRun() bool {
	l.tb.Helper()
	tail := l.tail()
	if tail.Entry == nil || len(tail.State.VMs) == 0 || len(tail.State.Failovers) > 0 {
		return false
	}
	for name, v := range tail.State.VMs {
		if on := l.runsOn(name); len(on) != 1 || on[0] != v.Owner {
			return false
		}
	}
	return true
}

// turn does what a host's own tools do after a failover: disks that belong to
// another host now are set aside, so that they are replicated onto again. Call
// it only when nothing moves.
func (l *lab) turn() {
	l.tb.Helper()
	vms := l.tail().State.VMs
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for host, h := range l.hosts {
		states, err := h.List()
		if err != nil {
			l.tb.Fatal(err)
		}
		for _, s := range states {
			if v, known := vms[s.Name]; known && v.Owner != host && !s.Running {
				if err := h.SetAside(ctx, s.Name); err != nil {
					l.tb.Fatal(err)
				}
			}
		}
	}
}

// replicated: every VM's owner has published its list of snapshots, without
// which no replica can be judged, and each other host has one of the newest.
func (l *lab) replicated() bool {
	l.tb.Helper()
	all := map[string]map[string][]string{} // host → VM → guids
	for host, h := range l.hosts {
		var out bytes.Buffer
		if err := h.Snapshots(&out); err != nil {
			return false // it changes just now
		}
		all[host] = map[string][]string{}
		for text := range strings.Lines(out.String()) {
			if w := strings.Fields(text); len(w) == 3 {
				all[host][w[0]] = append(all[host][w[0]], w[1])
			}
		}
	}
	for name, v := range l.tail().State.VMs {
		ds := l.inventory(v.Owner).Dataset(name)
		if ds == nil || ds.Generation != v.Generation || len(ds.Snapshots) == 0 {
			return false
		}
		own := all[v.Owner][name]
		newest := own[max(0, len(own)-2):]
		for host := range l.hosts {
			have := all[host][name]
			if len(have) == 0 || !slices.Contains(newest, have[len(have)-1]) {
				return false
			}
		}
	}
	return true
}

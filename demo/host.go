package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/hoster-ha/hoster-ha/demo/vm"
	"github.com/hoster-ha/hoster-ha/vmctl/command"
)

// cast is who plays: hosts, and the VMs that each begins with.
var cast = []struct {
	host string
	vms  []string
}{
	{"alpha", []string{"web", "mail"}},
	{"beta", []string{"db", "git"}},
	{"gamma", []string{"wiki", "shop"}},
}

// host is one host: a daemon, a replication, and a folder with its VMs' disks.
type host struct {
	name                     string
	vms                      vm.Host
	daemon, replicator       *child
	config                   string
	daemonLog, replicatorLog string
	absent                   bool // its daemon is not meant to run
}

// makeHosts makes the hosts' folders, disks and settings.
func (d *demo) makeHosts() error {
	for _, dir := range []string{d.vmRoot(), d.path("state")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for _, c := range cast {
		h := &host{
			name: c.host, config: d.path(c.host + ".yaml"),
			daemonLog: d.path(c.host + ".log"), replicatorLog: d.path(c.host + "-replicate.log"),
		}
		var err error
		if h.vms, err = vm.NewHost(d.vmRoot(), c.host); err != nil {
			return err
		}
		if err := h.vms.Create(c.vms...); err != nil {
			return err
		}
		if err := os.WriteFile(h.config, d.settings(c.host), 0o600); err != nil {
			return err
		}
		d.hosts = append(d.hosts, h)
	}
	return nil
}

// settings are a daemon's, as an operator would write them. Strings are quoted
// as in JSON, which YAML reads.
func (d *demo) settings(name string) []byte {
	var b strings.Builder
	set := func(key string, value any) {
		if v, ok := value.(fmt.Stringer); ok {
			value = v.String()
		}
		text, _ := json.Marshal(value) // strings and lists of them
		fmt.Fprintf(&b, "%s: %s\n", key, text)
	}
	tool := func(args ...string) []string {
		return append([]string{d.exe, vm.Command, "--root", d.vmRoot(), "--host", name}, args...)
	}
	set("persist-url", d.address)
	set("node-name", name)
	set("state-dir", d.path("state", name))
	set("listen", "127.0.0.1:0")
	set("timeout", timeout)
	set("interval", interval)
	set("startup-grace", patience/3)
	set("log-format", "console")
	fmt.Fprintln(&b, "driver:")
	set("  kind", command.Kind)
	set("  self_stop", true)
	set("  list", tool("list"))
	set("  start", tool("start", "{vm}"))
	set("  stop", tool("stop", "{vm}"))
	set("  kill", tool("kill", "{vm}"))
	set("  monitor", tool("monitor", "{vm}"))
	fmt.Fprintln(&b, "snapshots:")
	set("  kind", command.Kind)
	set("  list", tool("snapshots"))
	set("  prepare", tool("prepare", "{vm}", "{guid}", "{generation}"))
	set("  snapshot", tool("snapshot", "{vm}"))
	return []byte(b.String())
}

// startDaemon starts, or starts again, a host's daemon.
func (d *demo) startDaemon(ctx context.Context, h *host) error {
	c, err := d.spawn(ctx, "daemon of "+h.name, h.daemonLog, "--config", h.config)
	if err != nil {
		return err
	}
	h.daemon, h.absent = c, false
	return nil
}

func (d *demo) startReplicator(ctx context.Context, h *host) error {
	c, err := d.spawn(ctx, "replication of "+h.name, h.replicatorLog,
		vm.Command, "--root", d.vmRoot(), "--host", h.name, "replicate", "--every", replicateEvery.String())
	if err != nil {
		return err
	}
	h.replicator = c
	return nil
}

// command runs a command of this program, as an operator would.
func (d *demo) command(ctx context.Context, args ...string) error {
	log := d.path("commands.log")
	c, err := d.spawn(ctx, strings.Join(args, " "), log, append(args, "--persist-url", d.address)...)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		_ = c.kill()
		return context.Cause(ctx)
	}
	if c.err != nil {
		text, _ := os.ReadFile(log) // what it said, if it can be had
		return fmt.Errorf("hoster-ha %s: %w: %s", c.what, c.err, cut(strings.TrimSpace(string(text)), 300))
	}
	return nil
}

func (d *demo) host(name string) *host {
	for _, h := range d.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// running lists the VMs that run on the host, by their locks.
func (h *host) running() ([]string, error) {
	states, err := h.vms.List()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range states {
		if s.Running {
			names = append(names, s.Name)
		}
	}
	return names, nil
}

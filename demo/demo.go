package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hoster-ha/hoster-ha/demo/check"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

// PlantDoubleStart makes the demonstration start a second copy of a VM, past
// all that protects it, for the checker to find.
const PlantDoubleStart = "double-start"

// ErrViolated: the checker found something that must not have happened.
var ErrViolated = errors.New("the checker found violations")

// Options of a demonstration.
type Options struct {
	Plant string // "" or PlantDoubleStart
	Keep  bool   // leave the cluster running until the context ends
	// Store is the address of an empty store; "" makes a temporary folder.
	Store string
	Out   io.Writer // for people
}

// The demonstration's timings, and production's for comparison.
const (
	interval       = 200 * time.Millisecond
	timeout        = 3 * time.Second
	replicateEvery = time.Second
)

// patience bounds every wait for something that normally takes a few seconds:
// long, since a busy machine is no failure.
const patience = 90 * time.Second

// demo is one demonstration.
type demo struct {
	Options
	exe     string // this program
	root    string // temporary folder
	address string // of the store
	store   persistence.Store
	hosts   []*host
	out     *screen
	watch   *watch
	fall    *takeover // that is followed now, or nil
	kept    bool      // the cluster is the user's to play with
	crashed string    // whose daemon was killed
	left    string    // whose daemon left gracefully
}

// Run plays the demonstration. It fails with ErrViolated if the checker found
// anything, and ends all that it started in any case.
func Run(ctx context.Context, o Options) error {
	// SIGPIPE is a reader of the output that went away: everything has to end
	// then too, in order.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	d, err := set(ctx, o)
	if err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended { // a panic
			_ = d.end(ctx, false)
			_ = d.remove(ctx)
		}
	}()
	played := d.play(ctx)
	if errors.Is(played, errKept) {
		played = nil
	}
	switch {
	case played != nil && ctx.Err() != nil:
		played = fmt.Errorf("demo: ended early: %w", context.Cause(ctx))
	case played != nil:
		d.tellLogs()
	}
	left := d.end(ctx, played == nil)
	judged := d.judge()
	if played != nil && !errors.Is(judged, ErrViolated) {
		judged = nil // there may have been nothing to judge yet
	}
	left = errors.Join(left, d.remove(ctx))
	ended = true
	if left == nil {
		d.out.line("nothing remains: no process, no open port, no folder")
	}
	return d.first(judged, played, left)
}

// first returns the first error and prints the others.
func (d *demo) first(all ...error) error {
	all = slices.DeleteFunc(all, func(err error) bool { return err == nil })
	if len(all) == 0 {
		return nil
	}
	for _, err := range all[1:] {
		d.out.text("also: %v", err)
	}
	return all[0]
}

// set makes the folders and looks at the store; nothing runs yet.
func set(ctx context.Context, o Options) (*demo, error) {
	d := &demo{Options: o, address: o.Store, out: newScreen(o.Out)}
	fail := func(err error) (*demo, error) {
		return nil, errors.Join(fmt.Errorf("demo: %w", err), d.remove(ctx))
	}
	var err error
	if d.exe, err = os.Executable(); err != nil {
		return fail(err)
	}
	if d.root, err = os.MkdirTemp("", "hoster-ha-demo-"); err != nil {
		return fail(err)
	}
	// The name that processes will carry must be the one that is looked for.
	if d.root, err = filepath.EvalSymlinks(d.root); err != nil {
		return fail(err)
	}
	if d.address == "" {
		d.address = d.path("store")
		if err := os.Mkdir(d.address, 0o700); err != nil {
			return fail(err)
		}
	}
	if d.address, err = stores.Normalize(d.address); err != nil {
		return fail(err)
	}
	if d.store, err = stores.Open(d.address); err != nil {
		return fail(err)
	}
	names, err := d.store.List(ctx, "")
	switch {
	case err != nil:
		return fail(err)
	case len(names) > 0:
		return fail(fmt.Errorf("%s is not empty (%s): the demonstration founds a cluster of its own", d.address, names[0]))
	}
	d.watch = newWatch(d.store)
	if err := d.makeHosts(); err != nil {
		return fail(err)
	}
	return d, nil
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.root}, parts...)...)
}

// vmRoot holds the hosts' folders and the VMs' records.
func (d *demo) vmRoot() string { return d.path("vms") }

// judge lets the checker look and prints what it found.
func (d *demo) judge() error {
	r, err := check.Check(d.vmRoot())
	if err != nil {
		return fmt.Errorf("demo: checker: %w", err)
	}
	d.out.head("the independent checker, by the VMs' own records and snapshots")
	for _, v := range r.VMs {
		if len(r.Violations) > 0 {
			break // what moved where cannot be told then
		}
		for _, m := range v.Moves {
			d.out.text("  %s", d.describe(v.Name, m))
		}
	}
	var table strings.Builder
	_ = r.Print(&table) // into memory
	d.out.text("%s", strings.TrimRight(table.String(), "\n"))
	if len(r.Violations) == 0 {
		return d.judgeMoves(r)
	}
	return fmt.Errorf("%w: %d, the first: %s", ErrViolated, len(r.Violations), r.Violations[0])
}

// judgeMoves: a planned move loses nothing.
func (d *demo) judgeMoves(r *check.Report) error {
	for _, v := range r.VMs {
		for _, m := range v.Moves {
			if d.left != "" && m.From == d.left && m.To != m.From && m.CounterLost > 0 {
				return fmt.Errorf("%w: the planned move of %s to %s lost %d counts", ErrViolated, v.Name, m.To, m.CounterLost)
			}
		}
	}
	return nil
}

func (d *demo) describe(name string, m check.Move) string {
	why := "moved"
	switch m.From {
	case m.To:
		why = "restarted"
	case d.crashed:
		why = "failed over"
	}
	lost := "lost nothing"
	if m.CounterLost > 0 {
		lost = fmt.Sprintf("lost its last %.1f s (%d counts)", m.DataLost.Seconds(), m.CounterLost)
	}
	return fmt.Sprintf("%-5s %s: %s > %s, down %.1f s, %s", name, why, m.From, m.To, m.Downtime.Seconds(), lost)
}

// tellLogs prints the last lines of each daemon's log.
func (d *demo) tellLogs() {
	const lines, width = 12, 300
	for _, h := range d.hosts {
		for _, log := range []string{h.daemonLog, h.replicatorLog} {
			data, err := os.ReadFile(log)
			if err != nil || len(data) == 0 {
				continue
			}
			all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
			d.out.head("last lines of " + filepath.Base(log))
			for _, l := range all[max(0, len(all)-lines):] {
				d.out.text("  %s", cut(l, width))
			}
		}
	}
}

// introduce says what is about to run.
func (d *demo) introduce() {
	d.out.text("hoster-ha demo: three daemons with two VMs each on this machine, in %s", d.root)
	d.out.text("takeover after %s, heartbeats each %s; production has %s and %s",
		timeout, interval, lease.DefaultTimeout, lease.DefaultInterval)
}

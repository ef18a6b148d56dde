package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// await looks at the cluster, and shows it, until it is as awaited.
func (d *demo) await(ctx context.Context, what string, is func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	if err := d.wait(ctx, is); err != nil {
		return fmt.Errorf("demo: waiting for %s: %w", what, err)
	}
	return nil
}

func (d *demo) wait(ctx context.Context, is func() bool) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		err := d.look(ctx)
		if err == nil && d.watch.tail != nil && is() {
			return nil
		}
		if fallen := errors.Join(d.fallen(), d.out.err); fallen != nil {
			return fallen
		}
		select {
		case <-ctx.Done():
			// What could not be read last may be why.
			return errors.Join(context.Cause(ctx), err)
		case <-t.C:
		}
	}
}

// look reads the store once and tells what is new.
func (d *demo) look(ctx context.Context) error {
	news, err := d.watch.look(ctx)
	for _, e := range news {
		d.out.line("  %s", cut(fmt.Sprintf("ledger %d, epoch %d, %s: %s", e.Seq, e.Epoch, e.Node, e.Why), 150))
		if d.fall != nil {
			d.fall.entry(e)
		}
	}
	if d.fall != nil {
		running, lookErr := d.host(d.fall.node).running()
		if lookErr != nil {
			return errors.Join(err, lookErr)
		}
		d.fall.see(d.watch, running)
	}
	d.out.draw("\n" + d.watch.table(time.Now()))
	return err
}

// fallen says which process has ended that should run; a user may end what he
// was given to play with.
func (d *demo) fallen() error {
	if d.kept {
		return nil
	}
	for _, h := range d.hosts {
		if !h.absent && h.daemon != nil && !h.daemon.alive() {
			return fmt.Errorf("%s has ended by itself: %s", h.daemon.what, h.daemon.cmd.ProcessState)
		}
		if h.replicator != nil && !h.replicator.alive() {
			return fmt.Errorf("%s has ended by itself: %s", h.replicator.what, h.replicator.cmd.ProcessState)
		}
	}
	return nil
}

// allLive: every daemon that is meant to run is a living member.
func (d *demo) allLive() bool {
	for _, h := range d.hosts {
		if !h.absent && !d.watch.lives(h.name) {
			return false
		}
	}
	return true
}

// allRun: every VM runs where it belongs.
func (d *demo) allRun() bool {
	for _, vm := range d.watch.vms() {
		if !d.watch.runs(vm) {
			return false
		}
	}
	return true
}

// settled: one master, all that should live does, all VMs run and have replicas.
func (d *demo) settled() bool {
	if d.watch.master() == "" || !d.allLive() || !d.allRun() || len(d.watch.tail.State.Failovers) > 0 {
		return false
	}
	for _, vm := range d.watch.vms() {
		if !d.watch.replicated(vm) {
			return false
		}
	}
	return true
}

// show prints the table where it is not drawn all the time, and lets it stand
// where it is.
func (d *demo) show(title string) {
	d.out.line("%s", title)
	if d.out.live {
		d.out.leave()
		return
	}
	d.out.text("\n%s", strings.TrimRight(d.watch.table(time.Now()), "\n"))
}

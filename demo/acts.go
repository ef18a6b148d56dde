package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// lookEvery is how often the store is looked at.
const lookEvery = 100 * time.Millisecond

// tries bounds how often an operator asks.
const tries = 5

// errKept ends a demonstration that was kept running: the user has ended it.
var errKept = errors.New("the user has ended it")

// play is the whole show.
func (d *demo) play(ctx context.Context) error {
	d.introduce()
	if err := d.rise(ctx); err != nil {
		return err
	}
	if err := d.crash(ctx); err != nil {
		return err
	}
	if d.Plant == PlantDoubleStart {
		return d.doubleStart(ctx)
	}
	if err := d.rejoin(ctx, d.host(d.crashed)); err != nil {
		return err
	}
	if err := d.leave(ctx); err != nil {
		return err
	}
	if d.Keep {
		return d.keep(ctx)
	}
	return nil
}

// rise starts everything and arms the cluster.
func (d *demo) rise(ctx context.Context) error {
	d.out.head("three daemons found a cluster")
	vms := 0
	for _, c := range cast {
		vms += len(c.vms)
	}
	for _, h := range d.hosts {
		if err := errors.Join(d.startDaemon(ctx, h), d.startReplicator(ctx, h)); err != nil {
			return err
		}
		d.out.line("daemon of %s: process %d", h.name, h.daemon.pid())
	}
	err := d.await(ctx, "one master, three live nodes, and all VMs in the ledger", func() bool {
		return d.watch.master() != "" && d.allLive() && len(d.watch.vms()) == vms
	})
	if err != nil {
		return err
	}
	d.out.line("%s is MASTER, three nodes live; nothing starts before an operator arms the cluster:", d.watch.master())
	if err := d.arm(ctx); err != nil {
		return err
	}
	if err := d.await(ctx, "all VMs run and have replicas", d.settled); err != nil {
		return err
	}
	d.show("all VMs run, and every other host holds replicas")
	return nil
}

// arm asks as an operator does. On a busy machine a new master may make what was
// asked of the old one void: then it is asked again, as he would.
func (d *demo) arm(ctx context.Context) error {
	for try := 1; ; try++ {
		d.out.line("hoster-ha arm")
		err := d.command(ctx, "arm")
		if err == nil {
			return nil
		}
		if try == tries || ctx.Err() != nil {
			return err
		}
		d.out.line("refused, so once more: %v", err)
		if err := d.await(ctx, "a master", func() bool { return d.watch.master() != "" }); err != nil {
			return err
		}
	}
}

// crash kills the master's daemon and waits until its VMs run elsewhere.
func (d *demo) crash(ctx context.Context) error {
	// Whoever is master by now: on a busy machine that may have changed.
	if err := d.await(ctx, "a master, and all VMs run", d.settled); err != nil {
		return err
	}
	h := d.host(d.watch.master())
	d.out.head("the master's daemon is killed: " + h.name)
	d.crashed, h.absent = h.name, true
	d.fall = newTakeover(h.name, d.watch.tail.Epoch)
	d.out.line("kill -9 %d; its VMs (%s) run on until their deadline", h.daemon.pid(), strings.Join(d.watch.owned(h.name), ", "))
	if err := h.daemon.kill(); err != nil {
		return err
	}
	if err := d.await(ctx, "the VMs of "+h.name+" run elsewhere", func() bool {
		return d.fall.over && d.watch.master() != "" && d.allRun()
	}); err != nil {
		return err
	}
	d.show("the VMs of " + h.name + " run elsewhere")
	d.fall.print(d.out, "after the kill of "+h.name)
	d.fall = nil
	return nil
}

// rejoin starts a daemon again. What its host still has of VMs that moved away
// is set aside, so that it can take replicas again.
func (d *demo) rejoin(ctx context.Context, h *host) error {
	d.out.head(h.name + " comes back")
	since := time.Now()
	if err := d.startDaemon(ctx, h); err != nil {
		return err
	}
	d.out.line("daemon of %s: process %d", h.name, h.daemon.pid())
	err := d.await(ctx, "the admission of "+h.name, func() bool {
		return d.watch.lives(h.name) && d.watch.tail.State.Members[h.name].Fence == nil
	})
	if err != nil {
		return err
	}
	running, err := h.running()
	if err != nil {
		return err
	}
	if len(running) == 0 {
		d.out.line("%s is admitted as a new incarnation; it owns no VM and starts none", h.name)
	} else { // on a machine so busy that another node fell silent meanwhile
		d.out.line("%s is admitted as a new incarnation; it runs %s by now", h.name, strings.Join(running, ", "))
	}
	states, err := h.vms.List()
	if err != nil {
		return err
	}
	for _, s := range states {
		if slices.Contains(d.watch.owned(h.name), s.Name) || s.Running {
			continue
		}
		if err := h.vms.SetAside(ctx, s.Name); err != nil {
			return err
		}
		d.out.line("its old disk of %s is set aside, not deleted, so that it can take replicas again", s.Name)
	}
	err = d.await(ctx, "new replicas on "+h.name, func() bool {
		for _, vm := range d.watch.vms() {
			at, ok := d.watch.replica(vm, h.name)
			// Replicas are dated in whole seconds.
			if d.watch.tail.State.VMs[vm].Owner != h.name && (!ok || !at.After(since)) {
				return false
			}
		}
		return d.settled()
	})
	if err != nil {
		return err
	}
	d.show(h.name + " holds new replicas of all VMs")
	return nil
}

// leave ends the master's daemon gracefully: its VMs move and lose nothing.
func (d *demo) leave(ctx context.Context) error {
	if err := d.await(ctx, "a master, and all VMs run", d.settled); err != nil {
		return err
	}
	h := d.host(d.watch.master())
	d.out.head("the new master's daemon is told to stop: " + h.name)
	d.left, h.absent = h.name, true
	d.fall = newTakeover(h.name, d.watch.tail.Epoch)
	d.out.line("kill -TERM %d; its VMs: %s", h.daemon.pid(), strings.Join(d.watch.owned(h.name), ", "))
	if err := h.daemon.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := d.await(ctx, h.name+" has left and its VMs run elsewhere", func() bool {
		return !h.daemon.alive() && d.fall.over && d.watch.master() != "" && d.allRun()
	}); err != nil {
		return err
	}
	if h.daemon.err != nil {
		return fmt.Errorf("%s was told to stop: %w", h.daemon.what, h.daemon.err)
	}
	d.show(h.name + " has left, and its VMs run elsewhere")
	d.fall.print(d.out, "after the TERM of "+h.name)
	d.fall = nil
	return nil
}

// doubleStart starts a second copy of a VM where nothing protects it.
func (d *demo) doubleStart(ctx context.Context) error {
	name := d.watch.vms()[0]
	owner := d.host(d.watch.tail.State.VMs[name].Owner)
	var other *host
	for _, h := range d.hosts {
		if h != owner && !h.absent {
			other = h
		}
	}
	d.out.head("planted: a double start")
	if err := other.vms.Start(ctx, name, true); err != nil {
		return err
	}
	d.out.line("a second copy of %s runs on %s, past all that protects it, while %s runs it", name, other.name, owner.name)
	until := time.Now().Add(time.Second)
	return d.await(ctx, "both copies have counted", func() bool { return time.Now().After(until) })
}

// keep lets the user play with the cluster until he ends it.
func (d *demo) keep(ctx context.Context) error {
	if err := d.rejoin(ctx, d.host(d.left)); err != nil {
		return err
	}
	d.kept = true
	d.out.head("the cluster runs on until you end it")
	d.out.text("  look:  %s status --persist-url %s", d.exe, d.address)
	d.out.text("         %s history --persist-url %s", d.exe, d.address)
	d.out.text("  logs:  %s", d.path("*.log"))
	for _, h := range d.hosts {
		d.out.text("  play:  kill -9 %d; %s --config %s", h.daemon.pid(), d.exe, h.config)
	}
	d.out.text("  end:   Ctrl-C here; end first what you started yourself")
	err := d.wait(ctx, func() bool { return false })
	if ctx.Err() != nil {
		return errKept
	}
	return err
}

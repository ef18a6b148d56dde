package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/run"
)

const (
	maxVMList   = 1 << 20
	maxMonitors = 8 // at once
	pollFirst   = 100 * time.Millisecond
	pollMost    = time.Second
)

// driver keeps vmctl.Driver.
type driver struct {
	cfg DriverConfig
	run *runner
}

// NewDriver makes the driver. It keeps vmctl.SelfStopper too if, and only if,
// the configuration says self_stop.
func NewDriver(c DriverConfig, h Host) (vmctl.Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d := &driver{cfg: c.withDefaults(), run: newRunner(h, c.SelfStop)}
	if !c.SelfStop {
		return d, nil
	}
	s, err := newSelfStopping(d, h)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// List asks the list command, and of VMs which that gives without a state the
// monitor command.
func (d *driver) List(ctx context.Context) ([]vmctl.VM, error) {
	c := d.run.command(d.cfg.List, d.cfg.ListTimeout, about{})
	c.MaxOutput = maxVMList
	text, err := d.run.listing(ctx, "driver.list", c)
	if err != nil {
		return nil, fmt.Errorf("list the VMs: %w", err)
	}
	vms, err := decodeVMs(text)
	if err != nil {
		return nil, fmt.Errorf("list the VMs: %w", err)
	}
	var g errgroup.Group
	g.SetLimit(maxMonitors)
	for i := range vms {
		if vms[i].State == "" {
			g.Go(func() error {
				vms[i].State = d.monitored(ctx, vms[i].Name)
				return nil
			})
		}
	}
	_ = g.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("list the VMs: %w", context.Cause(ctx))
	}
	return vms, nil
}

// monitored is the state of a VM by its monitor command alone: only a monitor
// that ended by itself can say that it does not run, and not by the codes that
// mean that it does not know (4, of init scripts) or could not be run by the
// shell that was to (126, 127).
func (d *driver) monitored(ctx context.Context, vm string) string {
	if len(d.cfg.Monitor) == 0 {
		return record.VMUnknown
	}
	err := d.monitor(ctx, vm)
	if err == nil {
		return record.VMRunning
	}
	var failed *run.Error
	if errors.As(err, &failed) && failed.BySelf() {
		switch failed.Exit {
		case 4, 126, 127:
		default:
			return record.VMStopped
		}
	}
	return record.VMUnknown
}

func (d *driver) monitor(ctx context.Context, vm string) error {
	c := d.run.command(d.cfg.Monitor, d.cfg.MonitorTimeout, about{vm: vm})
	_, err := d.run.query(ctx, "driver.monitor of "+vm, c)
	return err
}

// Healthy asks the monitor command; without one every VM is.
func (d *driver) Healthy(ctx context.Context, vm string) error {
	if err := CheckName(vm); err != nil {
		return err
	}
	if len(d.cfg.Monitor) == 0 {
		return nil
	}
	if err := d.monitor(ctx, vm); err != nil {
		return fmt.Errorf("monitor %s: %w", vm, err)
	}
	return nil
}

// Start runs the start command.
func (d *driver) Start(ctx context.Context, p vmctl.Permit) error {
	if err := p.Check(); err != nil {
		return err
	}
	vm := p.VM()
	if err := CheckName(vm); err != nil {
		return err
	}
	res, err := d.run.act(ctx, d.cfg.Start, d.cfg.StartTimeout, about{vm: vm, generation: p.Generation()})
	if err == nil {
		return nil
	}
	var failed *run.Error
	certain := errors.As(err, &failed) && (failed.NotStarted || failed.BySelf() && !res.Left)
	if !certain {
		return fmt.Errorf("start %s: %w: %w", vm, vmctl.ErrUnresolved, err)
	}
	return fmt.Errorf("start %s: %w", vm, err)
}

// Stop runs the stop command, again if it failed, until a listing says that
// the VM has stopped.
func (d *driver) Stop(ctx context.Context, vm string) error {
	return d.end(ctx, "stop", d.cfg.Stop, false, vm)
}

// Kill does the same with the kill command, and again until it has.
func (d *driver) Kill(ctx context.Context, vm string) error {
	args := d.cfg.Kill
	if len(args) == 0 {
		args = d.cfg.Stop
	}
	return d.end(ctx, "kill", args, true, vm)
}

// end runs a command that ends a VM, and asks the listing until that says that
// the VM has stopped or the context ends. The command is run again after a
// while if it failed, or anyway.
func (d *driver) end(ctx context.Context, what string, args []string, anyway bool, vm string) error {
	if err := CheckName(vm); err != nil {
		return err
	}
	for pause := pollFirst; ; {
		_, err := d.run.act(ctx, args, d.endTimeout(ctx), about{vm: vm})
		again := anyway || err != nil
		for {
			seen := d.seenStopped(ctx, vm)
			if seen == nil {
				return nil
			}
			select {
			case <-ctx.Done():
				return unended(ctx, what, vm, seen, err)
			case <-time.After(pause):
			}
			if pause = min(2*pause, pollMost); again && pause == pollMost {
				break
			}
		}
	}
}

// endTimeout leaves a part of the context's time to the listing: a stop command
// that hangs must not hide that the VM has stopped.
func (d *driver) endTimeout(ctx context.Context) time.Duration {
	t := d.cfg.StopTimeout
	if until, ok := ctx.Deadline(); ok {
		t = max(min(t, time.Until(until)/2), time.Millisecond)
	}
	return t
}

// seenStopped is nil when a listing made now says that the VM has stopped. A VM
// that is not listed has not: nothing is known of it.
func (d *driver) seenStopped(ctx context.Context, vm string) error {
	vms, err := d.List(ctx)
	if err != nil {
		return err
	}
	for _, v := range vms {
		if v.Name == vm {
			if v.State == record.VMStopped {
				return nil
			}
			return fmt.Errorf("it is listed as %s", v.State)
		}
	}
	return errors.New("it is not listed")
}

// unended tells why a VM was not seen to stop: what the last listing said, and
// what the command did if that failed.
func unended(ctx context.Context, what, vm string, seen, command error) error {
	if command == nil {
		return fmt.Errorf("%s %s: %w; %w", what, vm, context.Cause(ctx), seen)
	}
	return fmt.Errorf("%s %s: %w; %w; %w", what, vm, context.Cause(ctx), seen, command)
}

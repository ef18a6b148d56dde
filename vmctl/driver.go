package vmctl

import (
	"context"
	"errors"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// VM is one VM of a host, as its driver sees it.
type VM struct {
	Name  string
	State string // record.VMRunning, VMStopped or VMUnknown
}

// Driver drives a hypervisor. VM names are data: no shell ever reads them.
type Driver interface {
	// List names the VMs whose disk or definition this host has as its own,
	// running or not, each with its state by a fresh query. An error means that
	// nothing is known: it is never an empty list.
	List(ctx context.Context) ([]VM, error)
	// Start starts a VM. It returns when the start has certainly ended, nil
	// when the VM runs; ErrUnresolved when the start may still take effect.
	Start(ctx context.Context, p Permit) error
	// Stop asks the VM to stop and waits until it has, or ctx ends.
	Stop(ctx context.Context, vm string) error
	// Kill ends the VM at once.
	Kill(ctx context.Context, vm string) error
	// Healthy is nil when a running VM does its work.
	Healthy(ctx context.Context, vm string) error
}

// SelfStopper is kept by drivers whose VMs stop themselves at the deadline
// handed to them, whatever becomes of the daemon.
type SelfStopper interface {
	// HandDeadline tells all VMs of this host, running or yet to start, until
	// when on the boot-time clock they may run. NoDeadline lets them run on.
	// It has been handed over only when it returns nil.
	HandDeadline(deadline time.Duration) error
	// Deadline is the one handed over last in this boot, also by an earlier
	// process; zero when there is none.
	Deadline() (time.Duration, error)
}

// NoDeadline is the deadline of VMs that run on.
const NoDeadline = time.Duration(1<<63 - 1)

// Provider makes snapshots into VMs' disks and tells what there is.
type Provider interface {
	// List gives the snapshots of every VM's disk on this host, own or replica,
	// each ordered from the oldest to the newest.
	List(ctx context.Context) ([]record.Dataset, error)
	// Prepare makes the replica the VM's own disk at exactly the snapshot. What
	// the replica held beyond it, and any disk the host had before, is kept
	// aside and never destroyed. Preparing the same twice is no error.
	Prepare(ctx context.Context, p Permit, guid string) error
	// Snapshot makes a snapshot of a stopped VM's disk and replicates it as far
	// as it can: what a planned move loses is nothing.
	Snapshot(ctx context.Context, vm string) error
}

// Errors that callers decide on.
var (
	// ErrUnresolved: a command that starts a VM was ended by its deadline, or
	// its outcome could not be told; it may still take effect.
	ErrUnresolved = errors.New("start unresolved")
	// ErrNoPermit: a start without the gate's leave.
	ErrNoPermit = errors.New("no permit from the gate")
)

func unresolved(err error) bool { return errors.Is(err, ErrUnresolved) }

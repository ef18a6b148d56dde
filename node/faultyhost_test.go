package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/deadline"
)

// unprepared is a provider whose Prepare fails while fail says so.
type unprepared struct {
	disks
	fail *bool
}

func (u unprepared) Prepare(ctx context.Context, p vmctl.Permit, guid string) error {
	u.w.mu.Lock()
	fail := *u.fail
	u.w.mu.Unlock()
	if fail {
		return errors.New("the pool is busy")
	}
	return u.disks.Prepare(ctx, p, guid)
}

// unlisted is a provider whose List finds nothing while fail says so, and says
// why, unless err is nil.
type unlisted struct {
	disks
	fail *bool
	err  error
}

func (u unlisted) List(ctx context.Context) ([]record.Dataset, error) {
	u.w.mu.Lock()
	fail := *u.fail
	u.w.mu.Unlock()
	if fail {
		return nil, u.err
	}
	return u.disks.List(ctx)
}

// patient is a driver whose Stop waits until the VM is listed as stopped, as the
// command driver's does: one that is not listed at all never is.
type patient struct{ *fakeHost }

func (p patient) Stop(ctx context.Context, vm string) error {
	p.w.mu.Lock()
	v := p.vms[vm]
	p.w.mu.Unlock()
	if v == nil {
		<-ctx.Done()
		return fmt.Errorf("stop %s: %w; it is not listed", vm, context.Cause(ctx))
	}
	return p.fakeHost.Stop(ctx, vm)
}

// endless is a driver whose start command brings the VM up and does not return
// before the daemon dies.
type endless struct{ *fakeHost }

func (e endless) Start(ctx context.Context, p vmctl.Permit) error {
	if err := e.fakeHost.Start(ctx, p); err != nil {
		return err
	}
	<-ctx.Done()
	return fmt.Errorf("start %s: %w: the daemon died", p.VM(), vmctl.ErrUnresolved)
}

// slowKill is a driver whose kills take a second, so that a loop of them lets
// time pass.
type slowKill struct{ selfStopping }

func (s slowKill) Kill(ctx context.Context, vm string) error {
	<-time.After(time.Second)
	return s.selfStopping.Kill(ctx, vm)
}

// torn is a driver whose file with the deadline was cut short by a loss of power;
// it stays so until the next deadline is written.
type torn struct {
	selfStopping
	whole *bool
}

func (d torn) Deadline() (time.Duration, error) {
	d.w.mu.Lock()
	whole := *d.whole
	d.w.mu.Unlock()
	if !whole {
		return 0, fmt.Errorf("%w: %q", deadline.ErrMalformed, "")
	}
	return d.selfStopping.Deadline()
}

func (d torn) HandDeadline(t time.Duration) error {
	d.w.change(func() { *d.whole = true })
	return d.selfStopping.HandDeadline(t)
}

// lossy is a store of whose writes some arrive and are not answered.
type lossy struct {
	persistence.Store
	lost func(key string) bool
}

func (l *lossy) Put(ctx context.Context, key string, v []byte) error {
	err := l.Store.Put(ctx, key, v)
	if err == nil && l.lost(key) {
		return fmt.Errorf("%w: the answer is lost", persistence.ErrUnknown)
	}
	return err
}

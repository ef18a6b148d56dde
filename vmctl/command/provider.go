package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

const maxSnapshotList = 8 << 20

// ErrNoSnapshot: the settings have no command that makes snapshots.
var ErrNoSnapshot = fmt.Errorf("snapshots.snapshot is not set: %w", errors.ErrUnsupported)

// provider keeps vmctl.Provider.
type provider struct {
	cfg SnapshotsConfig
	run *runner
}

// NewProvider makes the snapshot provider.
func NewProvider(c SnapshotsConfig, h Host) (vmctl.Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &provider{cfg: c.withDefaults(), run: newRunner(h, false)}, nil
}

// List asks the list command.
func (p *provider) List(ctx context.Context) ([]record.Dataset, error) {
	c := p.run.command(p.cfg.List, p.cfg.ListTimeout, about{})
	c.MaxOutput = maxSnapshotList
	text, err := p.run.listing(ctx, "snapshots.list", c)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	sets, err := decodeDatasets(text)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	return sets, nil
}

// Prepare runs the prepare command.
func (p *provider) Prepare(ctx context.Context, permit vmctl.Permit, guid string) error {
	if err := permit.Check(); err != nil {
		return err
	}
	a := about{vm: permit.VM(), guid: guid, generation: permit.Generation()}
	if err := firstError(CheckName(a.vm), CheckName(guid)); err != nil {
		return err
	}
	_, err := p.run.act(ctx, p.cfg.Prepare, p.cfg.PrepareTimeout, a)
	return err
}

// Snapshot runs the snapshot command.
func (p *provider) Snapshot(ctx context.Context, vm string) error {
	if len(p.cfg.Snapshot) == 0 {
		return ErrNoSnapshot
	}
	if err := CheckName(vm); err != nil {
		return err
	}
	if _, err := p.run.act(ctx, p.cfg.Snapshot, p.cfg.SnapshotTimeout, about{vm: vm}); err != nil {
		return fmt.Errorf("snapshot %s: %w", vm, err)
	}
	return nil
}

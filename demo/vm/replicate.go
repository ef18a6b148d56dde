package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// ErrForeign is why a host receives nothing: it has the VM's disk as its own,
// or a replica from a newer owner.
var ErrForeign = errors.New("a foreign lineage")

// Snapshot makes a snapshot of the VM's own disk, unless nothing was written
// since the newest, and replicates it as far as it can: what a host refused is
// reported and is no error.
func (h Host) Snapshot(ctx context.Context, vm string, report io.Writer) error {
	b := newBook(h)
	defer b.close()
	if err := h.snapshot(ctx, vm, b); err != nil {
		return err
	}
	return h.send(ctx, vm, b, report)
}

func (h Host) snapshot(ctx context.Context, vm string, b *book) error {
	fail := func(err error) error { return fmt.Errorf("snapshot %s on %s: %w", vm, h.name, err) }
	unlock, err := h.lockData(ctx, vm)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	at := boottime.Now()
	counter, err := readDisk(vm, h.disk(vm))
	if err != nil {
		return fail(err)
	}
	own, err := loadDataset(h.ownDir(vm))
	if err != nil {
		return fail(err)
	}
	if !own.written(counter) {
		return nil
	}
	s := snapshot{GUID: strconv.FormatUint(rand.Uint64N(1<<64-1)+1, 10), Created: time.Now(), Counter: counter}
	if err := os.MkdirAll(h.ownDir(vm), 0o700); err != nil {
		return fail(err)
	}
	if err := writeAtomic(snapFile(h.ownDir(vm), s.GUID), diskImage(vm, counter)); err != nil {
		return fail(err)
	}
	own.Snapshots = append(own.Snapshots, s)
	if err := own.store(h.ownDir(vm)); err != nil {
		return fail(err)
	}
	return b.write(vm, evidence{Kind: seenSnapshot, GUID: s.GUID, Counter: counter, Boot: int64(at)})
}

// written says whether a disk at the counter holds more than the newest
// snapshot.
func (d *dataset) written(counter uint64) bool {
	n := len(d.Snapshots)
	return n == 0 || d.Snapshots[n-1].Counter != counter
}

// send copies what they lack to all other hosts. One host's refusal is not the
// others'.
func (h Host) send(ctx context.Context, vm string, b *book, report io.Writer) error {
	others, err := h.others()
	if err != nil {
		return err
	}
	for _, o := range others {
		if err := o.receive(ctx, vm, h, b); err != nil {
			_, _ = fmt.Fprintf(report, "replicate %s from %s to %s: %v\n", vm, h.name, o.name, err)
		}
	}
	return nil
}

// receive brings this host's replica to what the source has now. What the
// replica holds and the source does not is set aside.
func (h Host) receive(ctx context.Context, vm string, source Host, b *book) error {
	unlock, err := h.lockData(ctx, vm)
	if err != nil {
		return err
	}
	defer unlock()
	switch own, err := h.hasDisk(vm); {
	case err != nil:
		return err
	case own:
		return fmt.Errorf("%w: the host has an own disk of it", ErrForeign)
	}
	from, err := loadDataset(source.ownDir(vm))
	if err != nil {
		return err
	}
	dir := h.replicaDir(vm)
	replica, err := loadDataset(dir)
	if err != nil {
		return err
	}
	if replica.Generation > from.Generation {
		return fmt.Errorf("%w: the replica is of generation %d, the disk sent of %d", ErrForeign, replica.Generation, from.Generation)
	}
	n := replica.common(from)
	if err := replica.trim(dir, n, h.newAside(vm)); err != nil {
		return err
	}
	if n == len(from.Snapshots) && replica.Generation == from.Generation {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fresh := from.Snapshots[n:]
	for _, s := range fresh {
		counter, err := readDisk(vm, snapFile(source.ownDir(vm), s.GUID))
		if err != nil {
			return err
		}
		if err := writeAtomic(snapFile(dir, s.GUID), diskImage(vm, counter)); err != nil {
			return err
		}
	}
	if err := (&dataset{Generation: from.Generation, Snapshots: from.Snapshots}).store(dir); err != nil {
		return err
	}
	for _, s := range fresh {
		if err := b.write(vm, evidence{Kind: seenReplica, Host: h.name, GUID: s.GUID, Counter: s.Counter}); err != nil {
			return err
		}
	}
	return nil
}

// Replicate is the host's own replication: at each interval a snapshot of every
// VM that runs here, sent to all other hosts, however the daemon fares, until
// ctx ends. There is one for a host.
func (h Host) Replicate(ctx context.Context, every time.Duration, report io.Writer) error {
	if every <= 0 {
		return fmt.Errorf("replicate each %s: the interval must be more than 0", every)
	}
	lock, err := hold(h.replicator())
	if err != nil {
		return fmt.Errorf("replicate from %s: %w", h.name, err)
	}
	defer lock.Close()
	if err := notEnded(h.root); err != nil {
		return err
	}
	b := newBook(h)
	defer b.close()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		h.replicateOnce(ctx, b, report)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (h Host) replicateOnce(ctx context.Context, b *book, report io.Writer) {
	states, err := h.List()
	if err != nil {
		_, _ = fmt.Fprintln(report, err)
	}
	for _, s := range states {
		if !s.Running || ctx.Err() != nil {
			continue
		}
		err := h.snapshot(ctx, s.Name, b)
		if err == nil {
			err = h.send(ctx, s.Name, b, report)
		}
		if err != nil {
			_, _ = fmt.Fprintln(report, err)
		}
	}
}

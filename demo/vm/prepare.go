package vm

import (
	"context"
	"fmt"
	"os"
)

// Prepare makes the snapshot the VM's own disk on this host, under a
// generation. The disk that the host had, and whatever its replica held beyond
// the snapshot, are set aside. The same again, for the same generation, does
// nothing: the VM may have run since.
func (h Host) Prepare(ctx context.Context, vm, guid string, generation uint64) error {
	fail := func(err error) error {
		return fmt.Errorf("prepare %s on %s at snapshot %s, generation %d: %w", vm, h.name, guid, generation, err)
	}
	unlock, err := h.lockData(ctx, vm)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if err := h.mustNotRun(vm); err != nil {
		return fail(err)
	}
	own, err := loadDataset(h.ownDir(vm))
	if err != nil {
		return fail(err)
	}
	replica, err := loadDataset(h.replicaDir(vm))
	if err != nil {
		return fail(err)
	}
	if own.Prepared != "" && own.Generation == generation {
		there, err := h.hasDisk(vm)
		switch {
		case err != nil:
			return fail(err)
		case own.Prepared == guid && there:
			return nil
		case own.Prepared != guid:
			return fail(fmt.Errorf("it was prepared at snapshot %s under this generation", own.Prepared))
		}
	}
	if generation <= replica.Generation || generation < own.Generation {
		return fail(fmt.Errorf("the host has a disk of generation %d", max(own.Generation, replica.Generation)))
	}
	aside := h.newAside(vm)
	if replica.find(guid) >= 0 {
		own, err = h.promote(vm, guid, replica, aside)
	} else if at := own.find(guid); at >= 0 {
		if err = moveAside(h.disk(vm), aside, "disk"); err == nil {
			err = own.trim(h.ownDir(vm), at+1, aside)
		}
	} else {
		err = fmt.Errorf("the host has no such snapshot")
	}
	if err == nil {
		err = h.diskFrom(vm, guid, own, generation)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// promote makes the replica the own dataset, ending with the snapshot. What was
// the host's own goes first: until the replica's folder is renamed, a repeat
// finds it where it was.
func (h Host) promote(vm, guid string, replica *dataset, aside string) (*dataset, error) {
	if err := moveAside(h.disk(vm), aside, "disk"); err != nil {
		return nil, err
	}
	if err := moveAside(h.ownDir(vm), aside, "snapshots"); err != nil {
		return nil, err
	}
	if err := replica.trim(h.replicaDir(vm), replica.find(guid)+1, aside); err != nil {
		return nil, err
	}
	return replica, os.Rename(h.replicaDir(vm), h.ownDir(vm))
}

// diskFrom writes the own disk from the snapshot and then, last of all, that it
// is prepared.
func (h Host) diskFrom(vm, guid string, own *dataset, generation uint64) error {
	counter, err := readDisk(vm, snapFile(h.ownDir(vm), guid))
	if err != nil {
		return err
	}
	if err := writeAtomic(h.disk(vm), diskImage(vm, counter)); err != nil {
		return err
	}
	b := newBook(h)
	defer b.close()
	if err := b.write(vm, evidence{Kind: seenPrepare, GUID: guid, Counter: counter, Generation: generation}); err != nil {
		return err
	}
	own.Generation, own.Prepared = generation, guid
	return own.store(h.ownDir(vm))
}

// SetAside gives up the own disk of a VM that belongs to another host now: the
// disk is set aside and its snapshots become a replica, which the owner may
// replicate onto again.
func (h Host) SetAside(ctx context.Context, vm string) error {
	fail := func(err error) error { return fmt.Errorf("set %s aside on %s: %w", vm, h.name, err) }
	unlock, err := h.lockData(ctx, vm)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if err := h.mustNotRun(vm); err != nil {
		return fail(err)
	}
	own, err := loadDataset(h.ownDir(vm))
	if err != nil {
		return fail(err)
	}
	aside := h.newAside(vm)
	if err := moveAside(h.disk(vm), aside, "disk"); err != nil {
		return fail(err)
	}
	if len(own.Snapshots) == 0 {
		return nil
	}
	own.Prepared = ""
	if err := own.store(h.ownDir(vm)); err != nil {
		return fail(err)
	}
	if err := moveAside(h.replicaDir(vm), aside, "replica"); err != nil {
		return fail(err)
	}
	if err := os.Rename(h.ownDir(vm), h.replicaDir(vm)); err != nil {
		return fail(err)
	}
	return nil
}

func (h Host) mustNotRun(vm string) error {
	pid, held, err := holder(h.lock(vm))
	if err == nil && held {
		err = fmt.Errorf("it runs here, as process %d", pid)
	}
	return err
}

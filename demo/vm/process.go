package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

const (
	tick      = 20 * time.Millisecond  // between two counts, and two looks at the deadline
	beatEvery = 100 * time.Millisecond // between two beats in the evidence
)

// place is where a VM process lives: its own disk's folder or, planted, one
// that the driver knows nothing of.
func (h Host) place(vm string, planted bool) string {
	if planted {
		return h.path("planted", vm)
	}
	return h.path("vms", vm)
}

// process is a running VM.
type process struct {
	vm         string
	limit      limit
	disk       *os.File
	counter    uint64
	seen       *journal
	generation uint64
	lastBeat   time.Duration
}

// Run is the VM process itself: it returns when the VM has stopped. tell is
// called once, when the VM has begun; its error stops the VM again.
func (h Host) Run(ctx context.Context, vm string, planted bool, tell func() error) error {
	// Before the lock is taken, since TERM goes to its holder.
	ctx, cancel := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer cancel()
	signal.Ignore(unix.SIGHUP)
	unlock, err := h.lockData(ctx, vm)
	if err != nil {
		return err
	}
	defer func() { unlock() }()
	lock, err := hold(filepath.Join(h.place(vm, planted), "lock"))
	if err != nil {
		return err
	}
	defer lock.Close() // last of all
	if err := notEnded(h.root); err != nil {
		return err
	}
	p, err := h.begin(vm, planted)
	if err != nil {
		return err
	}
	defer p.seen.close()
	defer p.disk.Close()
	unlock()
	unlock = func() {}
	reason := "nobody waits for the start any more"
	if err = tell(); err == nil {
		reason, err = p.count(ctx)
	}
	return errors.Join(err, p.seen.write(evidence{Kind: seenStop, Counter: p.counter, Generation: p.generation, Reason: reason}))
}

// begin opens the disk and writes the start record, if the VM may start.
func (h Host) begin(vm string, planted bool) (*process, error) {
	p := &process{vm: vm, generation: generationFromEnv()}
	if !planted {
		var err error
		if p.limit, err = limitFromEnv(); err != nil {
			return nil, fmt.Errorf("%s does not start: %w", vm, err)
		}
	}
	path := filepath.Join(h.place(vm, planted), "disk")
	var err error
	if p.counter, err = readDisk(vm, path); err != nil {
		return nil, fmt.Errorf("%s does not start: %w", vm, err)
	}
	if p.disk, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("%s does not start: %w", vm, err)
	}
	if p.seen, err = h.openJournal(vm); err != nil {
		_ = p.disk.Close()
		return nil, err
	}
	p.lastBeat = boottime.Now()
	start := evidence{Kind: seenStart, Boot: int64(p.lastBeat), Counter: p.counter, Generation: p.generation}
	if err := p.seen.write(start); err != nil {
		_ = p.disk.Close()
		p.seen.close()
		return nil, err
	}
	return p, nil
}

// count counts until ctx ends or the deadline has come. After every wait the
// deadline is looked at first: a process that was stopped meanwhile must not
// count once more.
func (p *process) count(ctx context.Context) (reason string, err error) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return "asked to stop", nil
		case <-t.C:
		}
		left := p.limit.left()
		if left <= 0 {
			return "its deadline has come", nil
		}
		p.counter++
		if err := writeSlot(p.disk, p.vm, p.counter); err != nil {
			return "its disk failed", fmt.Errorf("disk of %s: %w", p.vm, err)
		}
		if now := boottime.Now(); now-p.lastBeat >= beatEvery {
			if err := p.seen.write(evidence{Kind: seenBeat, Boot: int64(now), Counter: p.counter}); err != nil {
				return "its evidence failed", err
			}
			p.lastBeat = now
		}
		t.Reset(min(tick, left))
	}
}

package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The lock that proves that a VM runs is a POSIX record lock and not flock(2):
// for it the kernel names the process that holds it, so that nothing else has
// to say to whom a signal may go, and asking never takes it from anybody. It
// ends with its process. One rule comes with it: the process that holds it
// never opens the file a second time.

var errHeld = errors.New("lock is held")

// pollEvery is how often a wait looks again.
const pollEvery = 5 * time.Millisecond

// dataLockPatience bounds the wait for another command on the same disk.
const dataLockPatience = 5 * time.Second

func wholeFile() *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
}

// hold takes the lock for this process until it ends or closes the file.
func hold(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, wholeFile())
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = errHeld
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// holder asks the kernel who holds the lock. The pid can be 0 though it is
// held: the holder then lives out of this process's sight.
func holder(path string) (pid int, held bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	lk := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, lk); err != nil {
		return 0, false, fmt.Errorf("%s: who holds the lock: %w", path, err)
	}
	return max(0, int(lk.Pid)), lk.Type != unix.F_UNLCK, nil
}

// signalHolder signals the process that holds the lock; false if none does.
// The process is opened first and the lock asked again after that, so that a
// number which another process has taken over since is not signalled.
func signalHolder(path string, sig os.Signal) (pid int, held bool, err error) {
	pid, held, err = holder(path)
	if err != nil || !held {
		return 0, false, err
	}
	if pid == 0 {
		return 0, true, fmt.Errorf("%s is held by a process that cannot be seen from here", path)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return 0, true, fmt.Errorf("process %d: %w", pid, err)
	}
	defer func() { _ = p.Release() }()
	again, held, err := holder(path)
	if err != nil || !held {
		return 0, false, err
	}
	if again != pid {
		return 0, true, fmt.Errorf("%s has changed hands meanwhile", path)
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return pid, true, fmt.Errorf("signal process %d: %w", pid, err)
	}
	return pid, true, nil
}

// awaitFree waits until the process pid holds the lock no longer.
func awaitFree(ctx context.Context, path string, pid int) error {
	return poll(ctx, func() (bool, error) {
		now, held, err := holder(path)
		return err == nil && (!held || now != pid), err
	})
}

// poll asks until the answer is yes, an error, or ctx ends.
func poll(ctx context.Context, ask func() (bool, error)) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

// lockData excludes other commands, and starts, from the VM's disk, snapshots
// and replica on this host.
func (h Host) lockData(ctx context.Context, vm string) (unlock func(), err error) {
	path := h.dataLock(vm)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dataLockPatience)
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another command has the disk of %s on %s: %w", vm, h.name, err)
	}
	return func() { _ = f.Close() }, nil
}

package watchdog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrBusy: another watchdog has the socket already.
var ErrBusy = errors.New("another watchdog runs already")

// place is where a watchdog answers: the socket, and the lock that makes it the only one.
// Only this user's processes may use it.
type place struct {
	l    *net.UnixListener
	lock int
}

// CheckSocket says why a watchdog could not answer at a path, nil if it may.
func CheckSocket(path string) error {
	if most := len(unix.RawSockaddrUnix{}.Path) - 1; len(path) > most {
		return fmt.Errorf("%s: the path of a socket has %d characters at most", path, most)
	}
	return nil
}

// claim takes the place. Of several that claim it at once one has it, for as long as its
// process lives: the lock is the kernel's, and the file stays, since whoever removed it
// could remove the next one's.
func claim(ctx context.Context, path string) (*place, error) {
	if err := CheckSocket(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := unix.Open(path+".lock", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s.lock: %w", path, err)
	}
	l, err := listen(ctx, path, lock)
	if err != nil {
		_ = unix.Close(lock)
		return nil, err
	}
	return &place{l: l, lock: lock}, nil
}

func listen(ctx context.Context, path string, lock int) (*net.UnixListener, error) {
	switch err := unix.Flock(lock, unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, fmt.Errorf("%w, at %s", ErrBusy, path)
	case err != nil:
		return nil, fmt.Errorf("%s.lock: %w", path, err)
	}
	// What an earlier process left answers nobody.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// leave gives the place up, and with it the file of the socket.
func (p *place) leave() {
	_ = p.l.Close()
	_ = unix.Close(p.lock)
}

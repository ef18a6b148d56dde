package watchdog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hoster-ha/hoster-ha/vmctl/run"
)

// preflight is how long a program may take to say its version before it is trusted with
// a deadline.
const preflight = 2 * time.Second

// replacer lets another program take this one's place in the process, and with it the
// deadline, the device, the socket and the lock. Nothing is let go of meanwhile: until the
// next program turns its loop nobody pets the device, and nobody is told that it is armed.
// A signal that ends a program by default ends the next one until it has said that it
// takes it, whatever is blocked or ignored here: Go's runtime sees to that.
type replacer struct {
	g      *Guard
	here   *place
	ending <-chan struct{} // closed: it was told to end, which the next would not know

	one sync.Mutex // at a time
}

// replace returns only if that failed; all is as before then. by is when the asker gives
// up, of the boot-time clock.
func (r *replacer) replace(path string, by time.Duration) error {
	if !r.one.TryLock() {
		return errors.New("it is being replaced already")
	}
	defer r.one.Unlock()
	path, err := trusted(path)
	if err != nil {
		return err
	}
	// The deadline is extended meanwhile as ever.
	_, err = run.Run(context.Background(), run.Command{Args: []string{path, "version"}, Timeout: preflight, Grace: preflight / 20, WaitDelay: preflight / 20})
	if err != nil {
		return fmt.Errorf("it does not say its version: %w", err)
	}
	return r.exec(path, by)
}

// trusted is the program's file without links, if nobody else could have written it.
func trusted(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q: an absolute path", path)
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	i, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	owner, ok := i.Sys().(*syscall.Stat_t)
	switch {
	case !i.Mode().IsRegular() || i.Mode().Perm()&0o111 == 0:
		return "", fmt.Errorf("%s is no program", path)
	case i.Mode().Perm()&0o022 != 0:
		return "", fmt.Errorf("%s may be written by others: %s", path, i.Mode())
	case !ok || (owner.Uid != 0 && int(owner.Uid) != os.Geteuid()):
		return "", fmt.Errorf("%s belongs to another user", path)
	}
	return path, nil
}

func (r *replacer) exec(path string, by time.Duration) error {
	g := r.g
	g.mu.Lock() // nothing is handed or lifted from here on
	defer g.mu.Unlock()
	select {
	case <-r.ending:
		return ErrEnding
	default:
	}
	if by > 0 && g.opts.Now() >= by {
		return errLate
	}
	h, err := g.leaves(r.here)
	if err != nil {
		return err
	}
	word, err := json.Marshal(h)
	if err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, handoverEnv+"=") })
	defer func() {
		for _, fd := range h.descriptors() {
			_ = inheritable(fd, false) // it was open and is
		}
	}()
	for _, fd := range h.descriptors() {
		if err := inheritable(fd, true); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	err = unix.Exec(path, append([]string{path}, os.Args[1:]...), append(env, handoverEnv+"="+string(word)))
	return fmt.Errorf("%s: %w", path, err)
}

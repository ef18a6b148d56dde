package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// LockedError says that another process holds the folder.
type LockedError struct {
	Dir string
	PID int // 0: it has not written its number yet
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("local memory in %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("local memory in %s is in use by process %d", e.Dir, e.PID)
}

// lock takes the folder for this process, until it ends or unlocks.
func lock(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, "lock")
	l := flock.New(path, flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		data, err := os.ReadFile(path)
		pid, perr := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil || perr != nil {
			pid = 0
		}
		return nil, &LockedError{Dir: dir, PID: pid}
	}
	if err := os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		l.Unlock()
		return nil, err
	}
	return l, nil
}

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var errEnded = errors.New("the demonstration in this folder has ended")

// endPatience bounds how long a killed process may take to be gone.
const endPatience = 10 * time.Second

// notEnded is asked after a lock has been taken: whoever took it before the end
// was declared is seen by EndAll, and whoever took it later is refused.
func notEnded(root string) error {
	there, err := exists(filepath.Join(root, endedFile))
	if err == nil && there {
		err = errEnded
	}
	return err
}

// EndAll kills every VM and every replication of the root, planted ones too,
// and returns when all their locks are free. Nothing starts in this root again.
// Only processes that the kernel names as holders of these locks are signalled.
func EndAll(root string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return fmt.Errorf("end all of %s: %w", root, err)
	}
	if err := os.WriteFile(filepath.Join(root, endedFile), nil, 0o600); err != nil {
		return fmt.Errorf("end all of %s: %w", root, err)
	}
	var locks []string
	for _, pattern := range []string{"*/replicate.lock", "*/vms/*/lock", "*/planted/*/lock"} {
		found, err := filepath.Glob(filepath.Join(globEscape(root), pattern))
		if err != nil {
			return fmt.Errorf("end all of %s: %w", root, err)
		}
		locks = append(locks, found...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	var failed error
	for _, lock := range locks {
		err := poll(ctx, func() (bool, error) {
			if _, _, err := signalHolder(lock, syscall.SIGKILL); err != nil {
				return false, err
			}
			_, held, err := holder(lock)
			return !held, err
		})
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("end all of %s: %w", root, err))
		}
	}
	return failed
}

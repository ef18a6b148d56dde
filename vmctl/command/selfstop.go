package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/vmctl/deadline"
)

// selfStopping is a driver whose VMs stop themselves; it keeps
// vmctl.SelfStopper.
type selfStopping struct {
	*driver
	path, bootID string
	mu           sync.Mutex // one write at a time
}

func newSelfStopping(d *driver, h Host) (*selfStopping, error) {
	if h.BootID == "" {
		return nil, errors.New("driver.self_stop: the boot's id is not known")
	}
	if !filepath.IsAbs(h.DeadlineFile) {
		return nil, fmt.Errorf("driver.self_stop: the deadline file %q is not an absolute path", h.DeadlineFile)
	}
	s := &selfStopping{driver: d, path: h.DeadlineFile, bootID: h.BootID}
	// A file that others damaged is made anew by the next deadline; one that
	// cannot be read at all never will be.
	if _, err := s.Deadline(); err != nil && !errors.Is(err, deadline.ErrMalformed) {
		return nil, fmt.Errorf("driver.self_stop: %w", err)
	}
	return s, nil
}

// HandDeadline writes the deadline file.
func (s *selfStopping) HandDeadline(d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return deadline.WriteDeadline(s.path, s.bootID, d)
}

// Deadline reads it.
func (s *selfStopping) Deadline() (time.Duration, error) {
	return deadline.ReadDeadline(s.path, s.bootID)
}

package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// checkRoot says why a folder cannot be the root of a store.
func checkRoot(root string) error {
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the folder %s does not exist; is it mounted? (it is never made)", persistence.ErrRefused, root)
	case err != nil:
		return fmt.Errorf("%w: the folder %s: %w", persistence.ErrRefused, root, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is not a folder", persistence.ErrRefused, root)
	}
	f, err := os.Open(root)
	if err != nil {
		return fmt.Errorf("%w: the folder %s cannot be read: %w", persistence.ErrRefused, root, err)
	}
	f.Close()
	return nil
}

// above lists the folders from below the root down to dir.
func (s *Store) above(dir string) []string {
	rel, err := filepath.Rel(s.root, dir)
	if err != nil || rel == "." {
		return nil
	}
	var dirs []string
	at := s.root
	for name := range strings.SplitSeq(rel, string(filepath.Separator)) {
		at = filepath.Join(at, name)
		dirs = append(dirs, at)
	}
	return dirs
}

// refresh opens the folders from the root down to dir, after which an NFS
// client no longer takes names in them for absent that have been made since.
func (s *Store) refresh(dir string) {
	for _, at := range append([]string{s.root}, s.above(dir)...) {
		f, err := os.Open(at)
		if err != nil {
			return
		}
		f.Close()
	}
}

// makeDir makes the folders down to dir, but never the root, and fsyncs each
// parent once in the life of this store, whoever made them.
func (s *Store) makeDir(dir string) error {
	s.mu.Lock()
	made := s.made[dir]
	s.mu.Unlock()
	if made {
		return nil
	}
	parent := s.root
	for _, at := range s.above(dir) {
		if err := os.Mkdir(at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := s.syncDir(parent); err != nil {
			return err
		}
		parent = at
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[dir] = true
	return nil
}

// forgetDir has the next makeDir look again.
func (s *Store) forgetDir(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.above(dir) {
		delete(s.made, at)
	}
}

// prune removes a folder that is empty, and such ones above it. Those directly
// under the root stay: they are read all the time, and an NFS client is slow to
// find a folder that was made again.
func (s *Store) prune(dir string) {
	dirs := s.above(dir)
	for i := len(dirs) - 1; i > 0; i-- {
		// Rmdir refuses a folder that holds anything, a temporary file included.
		if syscall.Rmdir(dirs[i]) != nil {
			return
		}
		s.forgetDir(dirs[i])
	}
}

func (s *Store) syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.sys.sync(f)
}

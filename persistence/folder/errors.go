package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// refusals are answers to link, rename and unlink after which nothing was done
// and nothing will be. Of anything else, the outcome is open.
var refusals = []error{
	syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR, syscall.EACCES, syscall.EPERM, syscall.EROFS,
	syscall.ENOSPC, syscall.EDQUOT, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EMLINK, syscall.EXDEV,
	syscall.EOPNOTSUPP,
}

func refusal(err error) bool {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

// absent: there is no such file, or what should be its folder is none.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// fail makes the error of a call that changed nothing. What an operator has to
// mend wraps persistence.ErrRefused.
func (s *Store) fail(op, key string, err error) error {
	text, mend := s.explain(err)
	var root error
	if absent(err) {
		root = checkRoot(s.root)
	}
	switch {
	case root != nil:
		err = root
	case mend:
		err = fmt.Errorf("%w: %s: %w", persistence.ErrRefused, text, err)
	case text != "":
		err = fmt.Errorf("%s: %w", text, err)
	}
	return &persistence.Error{Op: op, Key: key, Err: err}
}

// unknown makes the error of a call whose outcome is open.
func (s *Store) unknown(op, key string, err error) error {
	if text, _ := s.explain(err); text != "" {
		err = fmt.Errorf("%s: %w", text, err)
	}
	return &persistence.Error{Op: op, Key: key, Err: fmt.Errorf("%w: %w", persistence.ErrUnknown, err)}
}

// explain puts into words what the system says in one, and whether it takes an
// operator to change it.
func (s *Store) explain(err error) (text string, mend bool) {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("the file system of %s is full", s.root), false
	case errors.Is(err, syscall.EDQUOT):
		return fmt.Sprintf("the quota of %s is used up", s.root), false
	case errors.Is(err, syscall.EROFS):
		return fmt.Sprintf("%s is mounted read-only", s.root), true
	case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.EXDEV):
		return fmt.Sprintf("the file system of %s lacks what a store needs", s.root), true
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("this user may not do that in %s", s.root), true
	}
	return "", false
}

package folder

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// Create implements persistence.Store. link(2) is what makes it exclusive, and
// what makes the file appear whole.
func (s *Store) Create(ctx context.Context, key string, value []byte) error {
	if err := begin(ctx, persistence.CheckKey(key), persistence.CheckValue(value)); err != nil {
		return s.fail("create", key, err)
	}
	path := s.path(key)
	dir := filepath.Dir(path)
	temp, err := s.writeTemp(dir, value)
	if err != nil {
		return s.fail("create", key, err)
	}
	// Also after an unclear answer: without it no link can land any more.
	defer os.Remove(temp)
	if ctx.Err() != nil {
		return s.fail("create", key, context.Cause(ctx))
	}
	err = s.sys.link(temp, path)
	exists := false
	switch {
	case err == nil:
	case refusal(err):
		return s.fail("create", key, err)
	default:
		// "Exists" needs a look, too: a link that was sent twice meets itself.
		switch made, other := settle(temp, path, value); {
		case made:
		case other, errors.Is(err, fs.ErrExist):
			exists = true
		default:
			return s.unknown("create", key, err)
		}
	}
	// Also what somebody else made is answered only once it is durable.
	if err := s.syncDir(dir); err != nil {
		return s.unknown("create", key, err)
	}
	if exists {
		return s.fail("create", key, persistence.ErrExists)
	}
	return nil
}

// settle finds out what became of a link. made: the temporary file has a second
// link, and under the name stand its bytes. other: it has none, and under the
// name stands something else. Neither: it is open.
func settle(temp, path string, value []byte) (made, other bool) {
	f, err := os.Open(temp) // opened anew: an NFS client asks the server for its attributes
	if err != nil {
		return false, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false, false
	}
	there, err := readFile(path)
	if err != nil {
		return false, false
	}
	same := bytes.Equal(there.Value, value)
	return st.Nlink == 2 && same, st.Nlink == 1 && !same
}

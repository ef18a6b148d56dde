package folder

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// block is the size of the files that are overwritten in place.
const block = 4096

// padding is what follows a value that is shorter than its file; no value ends
// in any of it (persistence.CheckValue).
const padding = " \n\r\t\x00"

// tempPrefix begins the names of temporary files.
const tempPrefix = ".tmp-"

// Put implements persistence.Store.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	if err := begin(ctx, persistence.CheckKey(key), persistence.CheckValue(value)); err != nil {
		return s.fail("put", key, err)
	}
	path := s.path(key)
	data := value
	if len(value) < block {
		data = pad(value)
		f, err := openBlock(path)
		if errors.Is(err, syscall.ESTALE) {
			f, err = openBlock(path)
		}
		switch {
		case err != nil && !absent(err):
			return s.fail("put", key, err)
		case f != nil:
			return s.overwrite(ctx, key, f, data)
		}
	}
	return s.replace(ctx, key, path, data)
}

// overwrite writes a block in place and closes the file.
func (s *Store) overwrite(ctx context.Context, key string, f *os.File, data []byte) error {
	if ctx.Err() != nil {
		f.Close()
		return s.fail("put", key, context.Cause(ctx))
	}
	_, err := s.sys.writeAt(f, data)
	if err == nil {
		err = s.sys.sync(f)
	}
	// NFS may keep an error of the write for close.
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return s.unknown("put", key, err)
	}
	return nil
}

// replace puts a new file in the place of the key.
func (s *Store) replace(ctx context.Context, key, path string, data []byte) error {
	temp, err := s.writeTemp(filepath.Dir(path), data)
	if err != nil {
		return s.fail("put", key, err)
	}
	if ctx.Err() != nil {
		os.Remove(temp)
		return s.fail("put", key, context.Cause(ctx))
	}
	if err := s.sys.rename(temp, path); err != nil {
		// Without the temporary file a rename that is still under way cannot land.
		os.Remove(temp)
		// A rename that was sent twice finds nothing to rename the second time.
		// "Exists" is what os.Rename says of a folder in the place of the key.
		if refusal(err) && !absent(err) || errors.Is(err, fs.ErrExist) {
			return s.fail("put", key, err)
		}
		return s.unknown("put", key, err)
	}
	if err := s.syncDir(filepath.Dir(path)); err != nil {
		return s.unknown("put", key, err)
	}
	return nil
}

// openBlock opens a file that may be overwritten in place; nil when it is of
// another size.
func openBlock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != block {
		f.Close()
		return nil, err
	}
	return f, nil
}

// writeTemp makes a complete, fsynced temporary file in the folder, and the
// folder where needed. Nothing that a reader looks at has changed after it.
func (s *Store) writeTemp(dir string, data []byte) (string, error) {
	f, err := s.openTemp(dir)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = s.sys.sync(f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func (s *Store) openTemp(dir string) (*os.File, error) {
	var f *os.File
	var err error
	// A Delete elsewhere may take the folder away between the two steps.
	for range 8 {
		if err = s.makeDir(dir); err == nil {
			f, err = os.OpenFile(filepath.Join(dir, tempPrefix+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		}
		if err == nil || !absent(err) && !errors.Is(err, syscall.ESTALE) {
			return f, err
		}
		s.forgetDir(dir)
	}
	return nil, err
}

// pad fills a value up to a block.
func pad(value []byte) []byte {
	data := bytes.Repeat([]byte{' '}, block)
	n := copy(data, value)
	data[n] = '\n' // so that cat shows it as a line
	return data
}

func isTemp(name string) bool { return strings.HasPrefix(name, tempPrefix) }

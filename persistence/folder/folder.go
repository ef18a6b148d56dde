package folder

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// Store is a store over one folder.
type Store struct {
	root string
	sys  calls

	mu sync.Mutex
	// made holds the folders of keys whose whole path this process has fsynced.
	made map[string]bool
}

var (
	_ persistence.Store   = (*Store)(nil)
	_ persistence.Clock   = (*Store)(nil)
	_ persistence.Advisor = (*Store)(nil)
)

// calls are the system calls whose failure decides between the outcomes. Tests
// replace them.
type calls struct {
	link    func(from, to string) error
	rename  func(from, to string) error
	writeAt func(f *os.File, b []byte) (int, error)
	sync    func(f *os.File) error
}

// Open opens the store over the folder, which must exist, and must not be mounted with
// options that hide what other hosts write. The error wraps
// persistence.ErrRefused and names what is wrong. Old temporary files of
// crashed writers are removed as far as that is possible.
func Open(root string) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("%w: folder %s: %w", persistence.ErrRefused, root, err)
	}
	if err := checkMount(abs, mounted(abs)); err != nil {
		return nil, err
	}
	if err := checkRoot(abs); err != nil {
		return nil, err
	}
	s := &Store{
		root: abs,
		made: map[string]bool{},
		sys: calls{
			link:    os.Link,
			rename:  os.Rename,
			writeAt: func(f *os.File, b []byte) (int, error) { return f.WriteAt(b, 0) },
			sync:    (*os.File).Sync,
		},
	}
	s.sweep()
	return s, nil
}

// Get implements persistence.Store.
func (s *Store) Get(ctx context.Context, key string) (persistence.Object, error) {
	if err := begin(ctx, persistence.CheckKey(key)); err != nil {
		return persistence.Object{}, s.fail("get", key, err)
	}
	path := s.path(key)
	o, err := twice(s, filepath.Dir(path), func() (persistence.Object, error) { return readFile(path) })
	if absent(err) && checkRoot(s.root) == nil {
		err = persistence.ErrNotFound
	}
	if err != nil {
		return persistence.Object{}, s.fail("get", key, err)
	}
	o.Value = bytes.TrimRight(o.Value, padding)
	return o, nil
}

// List implements persistence.Store.
func (s *Store) List(ctx context.Context, folder string) ([]string, error) {
	var err error
	if folder != "" {
		err = persistence.CheckKey(folder)
	}
	if err := begin(ctx, err); err != nil {
		return nil, s.fail("list", cmp.Or(folder, "/"), err)
	}
	path := s.path(folder)
	names, err := twice(s, path, func() ([]string, error) { return readNames(path) })
	if err != nil && (!absent(err) || checkRoot(s.root) != nil) {
		return nil, s.fail("list", cmp.Or(folder, "/"), err)
	}
	return names, nil
}

// Delete implements persistence.Store. The folder that it emptied goes too,
// unless it lies directly under the root.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := begin(ctx, persistence.CheckKey(key)); err != nil {
		return s.fail("delete", key, err)
	}
	path := s.path(key)
	dir := filepath.Dir(path)
	_, err := twice(s, dir, func() (struct{}, error) { return struct{}{}, unlink(path) })
	switch {
	case absent(err) && checkRoot(s.root) == nil:
		return nil
	case err != nil && !refusal(err):
		return s.unknown("delete", key, err)
	case err != nil:
		return s.fail("delete", key, err)
	}
	err = s.syncDir(dir)
	// Another Delete may have taken the folder away meanwhile.
	for at := dir; absent(err) && at != s.root; {
		at = filepath.Dir(at)
		err = s.syncDir(at)
	}
	if err != nil {
		return s.unknown("delete", key, err)
	}
	s.prune(dir)
	return nil
}

// twice repeats, once, what found nothing or a stale handle, after the folders
// down to dir have been opened anew.
func twice[T any](s *Store, dir string, f func() (T, error)) (T, error) {
	v, err := f()
	if absent(err) || errors.Is(err, syscall.ESTALE) {
		s.refresh(dir)
		v, err = f()
	}
	return v, err
}

func (s *Store) path(key string) string { return filepath.Join(s.root, filepath.FromSlash(key)) }

// readFile reads a file whole through a descriptor of its own.
func readFile(path string) (persistence.Object, error) {
	// O_NONBLOCK: a stray pipe must not hold the reader.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return persistence.Object{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return persistence.Object{}, err
	case info.IsDir():
		return persistence.Object{}, fs.ErrNotExist // it holds keys, and is none
	case !info.Mode().IsRegular():
		return persistence.Object{}, fmt.Errorf("%s is no regular file", path)
	case info.Size() > persistence.MaxValue:
		return persistence.Object{}, fmt.Errorf("%s has %d bytes, %d are allowed", path, info.Size(), persistence.MaxValue)
	}
	// Room for all of it, so that a block written in place is read by one call.
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead)
	if _, err := b.ReadFrom(f); err != nil {
		return persistence.Object{}, err
	}
	return persistence.Object{Value: b.Bytes(), Modified: info.ModTime()}, nil
}

// readNames lists the keys and folders in a folder, from the disk or server.
func readNames(path string) ([]string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if persistence.CheckName(e.Name()) != nil {
			continue
		}
		switch {
		case e.IsDir():
			names = append(names, e.Name()+"/")
		case e.Type().IsRegular():
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// unlink removes a file, never a folder: to a folder it says that no such key
// is there.
func unlink(path string) error {
	if info, err := os.Lstat(path); err != nil {
		return err
	} else if info.IsDir() {
		return fs.ErrNotExist
	}
	for {
		err := syscall.Unlink(path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return &fs.PathError{Op: "unlink", Path: path, Err: err}
		}
	}
}

// begin gives the first reason not to begin.
func begin(ctx context.Context, errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

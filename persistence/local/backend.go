package local

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Backend keeps a few small files by name.
type Backend interface {
	// Read gives the file; fs.ErrNotExist when there is none.
	Read(name string) ([]byte, error)
	// Write makes or replaces the file, atomically and durably.
	Write(name string, data []byte) error
}

// Dir is a Backend over a folder, which it makes (0700, its files 0600). It
// expects to be the only writer there.
func Dir(path string) (Backend, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := makeDir(path); err != nil {
		return nil, err
	}
	return dir(path), nil
}

type dir string

func (d dir) Read(name string) ([]byte, error) { return os.ReadFile(filepath.Join(string(d), name)) }

func (d dir) Write(name string, data []byte) error {
	path := filepath.Join(string(d), name)
	// One name, so that what a crash leaves is overwritten and never piles up.
	temp := filepath.Join(string(d), "."+name+".tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return err
	}
	return syncDir(string(d))
}

// makeDir makes the folder and those above it, durably.
func makeDir(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a folder", path)
	}
	if err == nil {
		if info.Mode().Perm()&0o077 != 0 {
			return os.Chmod(path, 0o700) // it holds a private key
		}
		return nil
	}
	parent := filepath.Dir(path)
	if _, err := os.Stat(parent); err != nil {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return syncDir(parent)
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Map is a Backend in memory, for simulations: a node that crashes and starts
// again is given the same Map.
func Map() Backend { return &files{data: map[string][]byte{}} }

type files struct {
	mu   sync.Mutex
	data map[string][]byte
}

func (f *files) Read(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.data[name]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return bytes.Clone(data), nil
}

func (f *files) Write(name string, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data[name] = bytes.Clone(data)
	return nil
}

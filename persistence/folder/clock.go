package folder

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// stale is the age from which a temporary file is a crashed writer's. A
	// writer that slept for longer finds its file gone and fails.
	stale = time.Hour
	// sweepNames bounds how many names a sweep reads: Open must not take longer
	// the longer the ledger is.
	sweepNames = 10_000
)

// Now implements persistence.Clock: the time that the file system, or its
// server, gives to a file written now.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if err := begin(ctx); err != nil {
		return time.Time{}, s.fail("time", "/", err)
	}
	t, err := s.now()
	if err != nil {
		return time.Time{}, s.fail("time", "/", err)
	}
	return t, nil
}

func (s *Store) now() (time.Time, error) {
	temp, err := s.writeTemp(s.root, []byte("."))
	if err != nil {
		return time.Time{}, err
	}
	defer os.Remove(temp)
	// Opened anew, for the server's date and not the client's guess at it.
	f, err := os.Open(temp)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// sweep removes what crashed writers left behind, as far as that is possible:
// folders near the root first, and of their sub-folders the newest by name.
func (s *Store) sweep() {
	var temps []string
	dirs := []string{s.root}
	for left := sweepNames; len(dirs) > 0 && left > 0; {
		dir := dirs[0]
		dirs = dirs[1:]
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		left -= len(entries)
		for _, e := range slices.Backward(entries) {
			switch {
			case e.IsDir() && e.Name()[0] != '.':
				dirs = append(dirs, filepath.Join(dir, e.Name()))
			case e.Type().IsRegular() && isTemp(e.Name()):
				temps = append(temps, filepath.Join(dir, e.Name()))
			}
		}
	}
	if len(temps) == 0 {
		return
	}
	now, err := s.now()
	if err != nil {
		return
	}
	for _, temp := range temps {
		var info fs.FileInfo
		if info, err = os.Lstat(temp); err == nil && now.Sub(info.ModTime()) > stale {
			os.Remove(temp)
		}
	}
}

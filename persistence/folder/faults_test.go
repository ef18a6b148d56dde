package folder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// syncFails fails the fsync of folders, or of files.
func syncFails(folders bool) func(*Store) {
	return func(s *Store) {
		s.sys.sync = func(f *os.File) error {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			if info.IsDir() == folders {
				return syscall.EIO
			}
			return f.Sync()
		}
	}
}

func linkFails(errno error, before func(s *Store, from, to string)) func(*Store) {
	return func(s *Store) {
		s.sys.link = func(from, to string) error {
			before(s, from, to)
			return &os.LinkError{Op: "link", Old: from, New: to, Err: errno}
		}
	}
}

func renameFails(errno error, done bool) func(*Store) {
	return func(s *Store) {
		s.sys.rename = func(from, to string) error {
			if done {
				os.Rename(from, to)
			}
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: errno}
		}
	}
}

func writeFails(errno error, n int) func(*Store) {
	return func(s *Store) {
		s.sys.writeAt = func(f *os.File, b []byte) (int, error) {
			f.WriteAt(b[:n], 0)
			return n, errno
		}
	}
}

func nothing(*Store, string, string)     {}
func landed(_ *Store, from, to string)   { os.Link(from, to) }
func taken(_ *Store, _, to string)       { os.WriteFile(to, []byte("somebody's"), 0o600) }
func twin(_ *Store, _, to string)        { os.WriteFile(to, []byte("mine"), 0o600) }
func swept(_ *Store, from, to string)    { os.Link(from, to); os.Remove(from) }
func unclearly(_ *Store, from, _ string) { os.Link(from, from+"2") }
func confusing(s *Store, from, to string) {
	unclearly(s, from, to)
	taken(s, from, to)
}

// Each step may fail without effect or after it; which outcome is answered is
// the contract.
func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		op    string // create, place: put in place, replace
		fault func(*Store)
		want  error // nil is success; errPlain a plain failure
	}{
		"link EIO, nothing there":           {"create", linkFails(syscall.EIO, nothing), persistence.ErrUnknown},
		"link EIO, landed":                  {"create", linkFails(syscall.EIO, landed), nil},
		"link EIO, another's there":         {"create", linkFails(syscall.EIO, taken), persistence.ErrExists},
		"link EIO, same bytes, one link":    {"create", linkFails(syscall.EIO, twin), persistence.ErrUnknown},
		"link EIO, two links, no name":      {"create", linkFails(syscall.EIO, unclearly), persistence.ErrUnknown},
		"link EIO, two links, another's":    {"create", linkFails(syscall.EIO, confusing), persistence.ErrUnknown},
		"link EIO, landed, temporary gone":  {"create", linkFails(syscall.EIO, swept), persistence.ErrUnknown},
		"link ETIMEDOUT, landed":            {"create", linkFails(syscall.ETIMEDOUT, landed), nil},
		"link ESTALE":                       {"create", linkFails(syscall.ESTALE, nothing), persistence.ErrUnknown},
		"link EEXIST, another's":            {"create", linkFails(syscall.EEXIST, taken), persistence.ErrExists},
		"link EEXIST, an earlier of mine":   {"create", linkFails(syscall.EEXIST, twin), persistence.ErrExists},
		"link EEXIST, sent twice":           {"create", linkFails(syscall.EEXIST, landed), nil},
		"link ENOSPC":                       {"create", linkFails(syscall.ENOSPC, nothing), errPlain},
		"link EDQUOT":                       {"create", linkFails(syscall.EDQUOT, nothing), errPlain},
		"link EROFS":                        {"create", linkFails(syscall.EROFS, nothing), persistence.ErrRefused},
		"link EACCES":                       {"create", linkFails(syscall.EACCES, nothing), persistence.ErrRefused},
		"link ENOENT":                       {"create", linkFails(syscall.ENOENT, nothing), errPlain},
		"create, fsync of the file fails":   {"create", syncFails(false), errPlain},
		"create, fsync of the folder fails": {"create", syncFails(true), persistence.ErrUnknown},

		"write EIO":                         {"place", writeFails(syscall.EIO, 0), persistence.ErrUnknown},
		"write cut short":                   {"place", writeFails(syscall.ENOSPC, 100), persistence.ErrUnknown},
		"write, fsync fails":                {"place", syncFails(false), persistence.ErrUnknown},
		"write needs no fsync of folders":   {"place", syncFails(true), nil},
		"rename EIO":                        {"replace", renameFails(syscall.EIO, false), persistence.ErrUnknown},
		"rename EIO, landed":                {"replace", renameFails(syscall.EIO, true), persistence.ErrUnknown},
		"rename ENOENT, sent twice":         {"replace", renameFails(syscall.ENOENT, true), persistence.ErrUnknown},
		"rename ENOSPC":                     {"replace", renameFails(syscall.ENOSPC, false), errPlain},
		"rename EROFS":                      {"replace", renameFails(syscall.EROFS, false), persistence.ErrRefused},
		"replace, fsync of the file fails":  {"replace", syncFails(false), errPlain},
		"replace, fsync of the folder fail": {"replace", syncFails(true), persistence.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			must(t, s.Put(t.Context(), "x/old", []byte("old")))
			c.fault(s)
			var err error
			switch c.op {
			case "create":
				err = s.Create(t.Context(), "x/new", []byte("mine"))
			case "place":
				err = s.Put(t.Context(), "x/old", []byte("mine"))
			case "replace":
				err = s.Put(t.Context(), "x/old", []byte(strings.Repeat("m", 5000)))
			}
			outcome(t, err, c.want)
			entries, rerr := os.ReadDir(filepath.Join(s.root, "x"))
			must(t, rerr)
			for _, e := range entries {
				if isTemp(e.Name()) && !strings.HasSuffix(e.Name(), "2") {
					t.Errorf("left behind: %s", e.Name())
				}
			}
		})
	}
}

var errPlain = errors.New("a plain failure")

func outcome(t *testing.T, err, want error) {
	t.Helper()
	var e *persistence.Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("%v is no *persistence.Error", err)
	}
	for _, is := range []error{persistence.ErrUnknown, persistence.ErrExists, persistence.ErrNotFound, persistence.ErrRefused} {
		if errors.Is(err, is) != errors.Is(is, want) {
			t.Errorf("outcome %v, want %v", err, want)
		}
	}
	if (err == nil) != (want == nil) {
		t.Errorf("outcome %v, want %v", err, want)
	}
}

// A create whose folder could not be fsynced, sent again, is answered only once
// the folder is.
func TestCreateAgainSyncsTheFolder(t *testing.T) {
	s := open(t)
	must(t, s.Put(t.Context(), "x/old", []byte("old")))
	fine := s.sys.sync
	syncFails(true)(s)
	outcome(t, s.Create(t.Context(), "x/new", []byte("mine")), persistence.ErrUnknown)
	outcome(t, s.Create(t.Context(), "x/new", []byte("mine")), persistence.ErrUnknown)
	s.sys.sync = fine
	outcome(t, s.Create(t.Context(), "x/new", []byte("mine")), persistence.ErrExists)
}

// Everything is fsynced before it is answered: file, its folder, and the
// folders that were made for it.
func TestWhatIsSynced(t *testing.T) {
	s := open(t)
	var synced []string
	s.sys.sync = func(f *os.File) error {
		name, err := filepath.Rel(s.root, f.Name())
		if isTemp(filepath.Base(name)) {
			name = filepath.Join(filepath.Dir(name), "temp")
		}
		synced = append(synced, name)
		return errors.Join(err, f.Sync())
	}
	for _, c := range []struct {
		do   func() error
		want string
	}{
		{func() error { return s.Create(t.Context(), "a/b/k", []byte("v")) }, ". a a/b/temp a/b"},
		{func() error { return s.Create(t.Context(), "a/b/l", []byte("v")) }, "a/b/temp a/b"},
		{func() error { return s.Put(t.Context(), "a/b/m", []byte("v")) }, "a/b/temp a/b"},
		{func() error { return s.Put(t.Context(), "a/b/m", []byte("w")) }, "a/b/m"},
		{func() error { return s.Delete(t.Context(), "a/b/m") }, "a/b"},
		{func() error { return s.Put(t.Context(), "top", []byte("v")) }, "temp ."},
	} {
		synced = nil
		must(t, c.do())
		if got := strings.Join(synced, " "); got != c.want {
			t.Errorf("synced %q, want %q", got, c.want)
		}
	}
}

// A handle that went stale, and a name that seemed absent, are looked at once
// more and no oftener.
func TestReadsTwice(t *testing.T) {
	s := open(t)
	for _, c := range []struct {
		errs []error
		want error
	}{
		{[]error{nil}, nil},
		{[]error{syscall.ESTALE, nil}, nil},
		{[]error{syscall.ENOENT, nil}, nil},
		{[]error{syscall.ESTALE, syscall.ESTALE}, syscall.ESTALE},
		{[]error{syscall.ENOENT, syscall.ENOENT}, syscall.ENOENT},
		{[]error{syscall.EIO}, syscall.EIO},
	} {
		tries := 0
		_, err := twice(s, s.path("x/y"), func() (struct{}, error) {
			tries++
			return struct{}{}, c.errs[tries-1]
		})
		if !errors.Is(err, c.want) || tries != len(c.errs) {
			t.Errorf("%v: %v after %d tries, want %v", c.errs, err, tries, c.want)
		}
	}
}

package folder

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Ino
}

func TestOpenRefusesWhatIsNoFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("x"), 0o600))
	for root, says := range map[string]string{
		filepath.Join(dir, "missing"):         "does not exist",
		filepath.Join(dir, "missing", "deep"): "does not exist",
		file:                                  "is not a folder",
		filepath.Join(file, "below"):          "not a directory",
	} {
		_, err := Open(root)
		if !errors.Is(err, persistence.ErrRefused) || !strings.Contains(err.Error(), says) ||
			!strings.Contains(err.Error(), root) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want a refusal that names it and says %q", root, err, says)
		}
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("Open made something: %v", names)
	}
}

// A root that goes away, like a mount, is an error of every call; it is no
// store without keys, and it is not made again.
func TestRootGoesAway(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	for name, spoil := range map[string]func() error{
		"missing": func() error { return nil },
		"a file":  func() error { return os.WriteFile(root, []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.RemoveAll(root))
			must(t, os.Mkdir(root, 0o700))
			s, err := Open(root)
			must(t, err)
			must(t, s.Put(t.Context(), "members/a.json", []byte("a")))
			must(t, os.RemoveAll(root))
			must(t, spoil())
			_, get := s.Get(t.Context(), "members/a.json")
			_, list := s.List(t.Context(), "")
			_, below := s.List(t.Context(), "members")
			_, now := s.Now(t.Context())
			for op, err := range map[string]error{
				"get": get, "list": list, "list below": below, "time": now,
				"put":    s.Put(t.Context(), "members/a.json", []byte("b")),
				"put 2":  s.Put(t.Context(), "cluster.json", []byte("b")),
				"create": s.Create(t.Context(), "ledger/0/x", []byte("b")),
				"delete": s.Delete(t.Context(), "members/a.json"),
			} {
				if !errors.Is(err, persistence.ErrRefused) || errors.Is(err, persistence.ErrNotFound) || errors.Is(err, persistence.ErrUnknown) {
					t.Errorf("%s: %v, want ErrRefused", op, err)
				}
			}
			if info, err := os.Stat(root); err == nil && info.IsDir() {
				t.Error("the root was made again")
			}
		})
	}
}

func TestPutInPlaceKeepsTheFile(t *testing.T) {
	s := open(t)
	path := filepath.Join(s.root, "members", "a.json")
	must(t, s.Put(t.Context(), "members/a.json", []byte("first, the longer one")))
	ino := inode(t, path)
	old, err := os.Open(path)
	must(t, err)
	defer old.Close()
	for _, value := range []string{"second", strings.Repeat("x", block-1), "third"} {
		must(t, s.Put(t.Context(), "members/a.json", []byte(value)))
		data, err := os.ReadFile(path)
		must(t, err)
		if len(data) != block || string(data[:len(value)]) != value || data[len(value)] != '\n' ||
			strings.Trim(string(data[len(value)+1:]), " ") != "" {
			t.Errorf("the file is no padded block: %d bytes, %.40q", len(data), data)
		}
		if inode(t, path) != ino {
			t.Error("a write in place made another file")
		}
	}
	must(t, s.Put(t.Context(), "members/a.json", bytes.Repeat([]byte("y"), block)))
	if inode(t, path) == ino {
		t.Error("a value larger than a block was written in place")
	}
	// Who holds the old file still reads the old value, whole.
	data := make([]byte, block)
	if _, err := old.ReadAt(data, 0); err != nil || string(bytes.TrimRight(data, padding)) != "third" {
		t.Errorf("the replaced file reads %.40q, %v", data, err)
	}
	// What Create made has no padding; the first Put gives it some.
	must(t, s.Create(t.Context(), "made", []byte("made")))
	if info, err := os.Stat(filepath.Join(s.root, "made")); err != nil || info.Size() != 4 {
		t.Errorf("a created file has %d bytes, want 4 (%v)", info.Size(), err)
	}
}

// A reader polls by name while many create: what it sees is whole.
func TestCreateShowsNoPart(t *testing.T) {
	s := open(t)
	value := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	for range 10 {
		stop := make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				data, err := os.ReadFile(filepath.Join(s.root, "ledger", "entry"))
				if err == nil && !bytes.Equal(data, value) {
					t.Errorf("read %d bytes of %d", len(data), len(value))
					return
				}
			}
		})
		err := s.Create(t.Context(), "ledger/entry", value)
		close(stop)
		group.Wait()
		must(t, err)
		must(t, s.Delete(t.Context(), "ledger/entry"))
	}
}

func TestLeftoversOfACrash(t *testing.T) {
	s := open(t)
	must(t, s.Create(t.Context(), "ledger/0/one", []byte("one")))
	must(t, s.Put(t.Context(), "members/a.json", []byte("a")))
	old := time.Now().Add(-2 * time.Hour)
	paths := map[string]bool{ // and whether a later Open removes it
		".tmp-old": true, "members/.tmp-old": true, "ledger/0/.tmp-old": true,
		"ledger/0/.tmp-new": false, "members/.other": false, ".dir/.tmp-old": false,
	}
	must(t, os.Mkdir(filepath.Join(s.root, ".dir"), 0o700))
	for name := range paths {
		path := filepath.Join(s.root, name)
		must(t, os.WriteFile(path, []byte("half a rec"), 0o600))
		if !strings.HasSuffix(name, "new") {
			must(t, os.Chtimes(path, old, old))
		}
	}
	// A creator that crashed between link and unlink.
	must(t, os.Link(filepath.Join(s.root, "ledger/0/one"), filepath.Join(s.root, "ledger/0/.tmp-linked")))
	must(t, os.Chtimes(filepath.Join(s.root, "ledger/0/one"), old, old))
	paths["ledger/0/.tmp-linked"] = true

	for folder, want := range map[string]string{"": "ledger/ members/", "members": "a.json", "ledger/0": "one"} {
		names, err := s.List(t.Context(), folder)
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("list %q: %q, %v, want %q", folder, got, err, want)
		}
	}
	again, err := Open(s.root)
	must(t, err)
	for name, gone := range paths {
		if _, err := os.Lstat(filepath.Join(s.root, name)); os.IsNotExist(err) != gone {
			t.Errorf("%s: gone %v, want %v", name, !gone, gone)
		}
	}
	o, err := again.Get(t.Context(), "ledger/0/one")
	if err != nil || string(o.Value) != "one" {
		t.Errorf("the created key reads %q, %v", o.Value, err)
	}
}

// No call leaves a temporary file behind.
func TestNothingIsLeft(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	must(t, s.Create(ctx, "x/k", []byte("v")))
	for range 3 {
		if err := s.Create(ctx, "x/k", []byte("v")); !errors.Is(err, persistence.ErrExists) {
			t.Fatal(err)
		}
		must(t, s.Put(ctx, "x/k", bytes.Repeat([]byte("y"), 5000)))
		if _, err := s.Now(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"", "x"} {
		entries, err := os.ReadDir(filepath.Join(s.root, dir))
		must(t, err)
		if len(entries) != 1 {
			t.Errorf("in %q lie %v, want one thing", dir, entries)
		}
	}
}

// What is no regular file of ours neither hangs nor misleads a call.
func TestStrayThings(t *testing.T) {
	s := open(t)
	must(t, s.Put(t.Context(), "x/kept", []byte("kept")))
	must(t, syscall.Mkfifo(filepath.Join(s.root, "x/pipe"), 0o600))
	must(t, os.Symlink("kept", filepath.Join(s.root, "x/link")))
	must(t, os.WriteFile(filepath.Join(s.root, "x/not a key~"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(s.root, "x/empty"), nil, 0o600))
	names, err := s.List(t.Context(), "x")
	if got := strings.Join(names, " "); err != nil || got != "empty kept" {
		t.Errorf("list: %q, %v", got, err)
	}
	for _, key := range []string{"x/pipe", "x/link"} {
		if _, err := s.Get(t.Context(), key); err == nil || errors.Is(err, persistence.ErrNotFound) {
			t.Errorf("get of %s: %v, want a plain failure", key, err)
		}
	}
	// An empty file is a torn record and not an absent one.
	if o, err := s.Get(t.Context(), "x/empty"); err != nil || len(o.Value) != 0 {
		t.Errorf("get of an empty file: %q, %v", o.Value, err)
	}
	for _, value := range [][]byte{[]byte("v"), bytes.Repeat([]byte("v"), 5000)} {
		if err := s.Put(t.Context(), "x", value); err == nil || errors.Is(err, persistence.ErrUnknown) {
			t.Errorf("put over a folder: %v, want a plain failure", err)
		}
	}
}

// A folder of keys may be emptied, and vanish, while others create in it.
func TestPruneAndCreateAtOnce(t *testing.T) {
	a := open(t)
	b, err := Open(a.root)
	must(t, err)
	var group sync.WaitGroup
	for w, s := range []*Store{a, b, a} {
		group.Go(func() {
			key := "probe/x/y/" + string(rune('a'+w))
			for range 60 {
				if err := s.Create(t.Context(), key, []byte("v")); err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Get(t.Context(), key); err != nil {
					t.Error(err)
					return
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if entries, err := os.ReadDir(filepath.Join(a.root, "probe")); err != nil || len(entries) > 0 {
		t.Errorf("below probe lie %v, %v; want an empty folder", entries, err)
	}
}

// A call whose caller gave up while the system hung does not go on to change
// anything.
func TestEndedContextStopsBeforeTheChange(t *testing.T) {
	for op, call := range map[string]func(*Store, context.Context) error{
		"create":  func(s *Store, ctx context.Context) error { return s.Create(ctx, "x/new", []byte("new")) },
		"replace": func(s *Store, ctx context.Context) error { return s.Put(ctx, "x/new", []byte("new")) },
	} {
		t.Run(op, func(t *testing.T) {
			s := open(t)
			must(t, s.Put(t.Context(), "x/old", []byte("old")))
			ctx, cancel := context.WithCancel(t.Context())
			s.sys.sync = func(f *os.File) error { cancel(); return f.Sync() }
			if err := call(s, ctx); !errors.Is(err, context.Canceled) || errors.Is(err, persistence.ErrUnknown) {
				t.Errorf("%v, want a plain failure with the context's cause", err)
			}
			entries, err := os.ReadDir(filepath.Join(s.root, "x"))
			if err != nil || len(entries) != 1 {
				t.Errorf("there lie %v, %v; want the old key alone", entries, err)
			}
		})
	}
}

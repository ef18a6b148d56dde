package local

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openOn(t *testing.T, b Backend, h Host) *Memory {
	t.Helper()
	m, err := NewOn(b, h)
	must(t, err)
	return m
}

// recorder notes what is written, and may fail or look about meanwhile.
type recorder struct {
	Backend
	log    []string
	during func(name string) error // before it is on the disk
	after  func(name string) error
}

func (r *recorder) Write(name string, data []byte) error {
	if r.during != nil {
		if err := r.during(name); err != nil {
			return err
		}
	}
	if err := r.Backend.Write(name, data); err != nil {
		return err
	}
	if r.after != nil {
		if err := r.after(name); err != nil {
			return err
		}
	}
	r.log = append(r.log, name)
	return nil
}

// setters are all that write, each with the look of its effect.
func setters(m *Memory) map[string]struct {
	set  func() error
	seen func() bool
} {
	type s = struct {
		set  func() error
		seen func() bool
	}
	return map[string]s{
		"cluster":     {func() error { return m.SetCluster("c", "file:///p") }, func() bool { id, _ := m.Cluster(); return id == "c" }},
		"tail":        {func() error { return m.SetTail(7, "h7") }, func() bool { seq, _ := m.Tail(); return seq == 7 }},
		"reset":       {func() error { return m.ResetTail(9, "h9") }, func() bool { seq, _ := m.Tail(); return seq == 9 }},
		"close":       {func() error { return m.CloseGeneration("vm1", 4) }, func() bool { return m.Closed("vm1") == 4 }},
		"issued":      {func() error { return m.Issued("vm2", 5) }, func() bool { return m.Unresolved()["vm2"] == 5 }},
		"resolved":    {func() error { return m.Resolved("vm3", 6, true) }, func() bool { return m.Running("vm3") == 6 }},
		"prepared":    {func() error { return m.Prepared("vm4", 8) }, func() bool { return m.IsPrepared("vm4", 8) }},
		"running":     {func() error { return m.SetRunning("vm5", 2) }, func() bool { return m.Running("vm5") == 2 }},
		"incarnation": {func() error { return m.SetIncarnation("i") }, func() bool { return m.Incarnation() == "i" }},
		"enrolled":    {func() error { return m.SetEnrolled([]string{"b", "a", "b"}) }, func() bool { return slices.Equal(m.Enrolled(), []string{"a", "b"}) }},
	}
}

// What a setter answered is on the disk, readers see it only then, and what
// changes nothing writes nothing.
func TestDurableBeforeSeen(t *testing.T) {
	for name := range setters(nil) {
		t.Run(name, func(t *testing.T) {
			disk := Map()
			r := &recorder{Backend: disk}
			host := Host{Machine: "m", Boot: "b"}
			m := openOn(t, r, host)
			s := setters(m)[name]
			r.log = nil
			early := false
			r.during = func(string) error { early = s.seen(); return nil }
			must(t, s.set())
			if early {
				t.Error("readers saw it before it was written")
			}
			if !s.seen() || !setters(openOn(t, disk, host))[name].seen() {
				t.Error("it is not there, or not after a crash")
			}
			must(t, s.set())
			if want := []string{memoryFile}; !slices.Equal(r.log, want) {
				t.Errorf("writes: %q, want %q", r.log, want)
			}
		})
	}
}

// A write that fails, whether or not it reached the disk, is an error, changes
// nothing that readers see, and is not taken for done when repeated.
func TestFailedWrite(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for name := range setters(nil) {
			t.Run(name, func(t *testing.T) {
				r := &recorder{Backend: Map()}
				m := openOn(t, r, Host{Machine: "m", Boot: "b"})
				s := setters(m)[name]
				before, err := r.Read(memoryFile)
				must(t, err)
				broken := errors.New("disk on fire")
				fail := func(string) error { return broken }
				if landed {
					r.after = fail
				} else {
					r.during = fail
				}
				if err := s.set(); !errors.Is(err, broken) {
					t.Fatalf("%v, want the disk's error", err)
				}
				if s.seen() {
					t.Error("readers see what is not known to be durable")
				}
				r.during, r.after, r.log = nil, nil, nil
				if landed {
					must(t, m.change(func(*state) error { return nil }))
					after, err := r.Read(memoryFile)
					if err != nil || !bytes.Equal(before, after) {
						t.Errorf("the disk was not brought back to what readers see (%v)", err)
					}
				}
				must(t, s.set())
				if !s.seen() {
					t.Error("repeating it had no effect")
				}
			})
		}
	}
}

func TestTailNeverGoesBack(t *testing.T) {
	m := openOn(t, Map(), Host{Machine: "m"})
	must(t, m.SetTail(5, "five"))
	must(t, m.SetTail(5, "five"))
	for seq, hash := range map[uint64]string{4: "four", 5: "other", 0: ""} {
		if err := m.SetTail(seq, hash); !errors.Is(err, ErrBehind) {
			t.Errorf("set to %d %s: %v, want ErrBehind", seq, hash, err)
		}
	}
	if seq, hash := m.Tail(); seq != 5 || hash != "five" {
		t.Errorf("tail %d %s", seq, hash)
	}
	must(t, m.ResetTail(3, "three"))
	must(t, m.SetTail(4, "four"))
}

func TestStarts(t *testing.T) {
	m := openOn(t, Map(), Host{Machine: "m"})
	must(t, m.CloseGeneration("vm", 5))
	must(t, m.CloseGeneration("vm", 3))
	if g := m.Closed("vm"); g != 5 {
		t.Errorf("closed went down to %d", g)
	}
	unresolved := func(want map[string]uint64) {
		t.Helper()
		if diff := cmp.Diff(want, m.Unresolved()); diff != "" {
			t.Error(diff)
		}
	}
	unresolved(map[string]uint64{})
	must(t, m.Issued("vm", 6))
	must(t, m.Issued("other", 2))
	must(t, m.Issued("vm", 7))
	unresolved(map[string]uint64{"vm": 7, "other": 2})
	must(t, m.Resolved("vm", 6, true))
	unresolved(map[string]uint64{"vm": 7, "other": 2})
	must(t, m.Resolved("vm", 7, false))
	unresolved(map[string]uint64{"other": 2})
	if g := m.Running("vm"); g != 6 {
		t.Errorf("running under %d, want 6", g)
	}
	m.Unresolved()["other"] = 9 // a copy
	unresolved(map[string]uint64{"other": 2})
	must(t, m.SetRunning("vm", 0))
	if g := m.Running("vm"); g != 0 {
		t.Errorf("running under %d after it was forgotten", g)
	}
	must(t, m.Prepared("vm", 7))
	if !m.IsPrepared("vm", 7) || !m.IsPrepared("vm", 6) || m.IsPrepared("vm", 8) || m.IsPrepared("new", 0) {
		t.Error("prepared for 7 is prepared for 7 and all before")
	}
}

func TestIncarnationKeepsItsBoot(t *testing.T) {
	disk := Map()
	must(t, openOn(t, disk, Host{Machine: "m", Boot: "first"}).SetIncarnation("one"))
	m := openOn(t, disk, Host{Machine: "m", Boot: "second"})
	if m.Incarnation() != "one" || m.LastBoot() != "first" {
		t.Errorf("%s of boot %s, want that of the first", m.Incarnation(), m.LastBoot())
	}
	must(t, m.SetIncarnation("two"))
	if m.LastBoot() != "second" {
		t.Errorf("boot %s, want second", m.LastBoot())
	}
}

func TestIdentity(t *testing.T) {
	r := &recorder{Backend: Map()}
	first := openOn(t, r, Host{Machine: "board"})
	if want := []string{memoryFile, keyFile, memoryFile}; !slices.Equal(r.log, want) {
		t.Errorf("the first start writes %q, want %q", r.log, want)
	}
	id := first.Identity()
	if id.Machine != "board" || len(id.Fingerprint) != 64 || first.Key() == nil {
		t.Errorf("identity %+v", id)
	}
	r.log = nil
	if again := openOn(t, r, Host{Machine: "board"}); again.Identity() != id || !again.Key().Equal(first.Key()) || len(r.log) > 0 {
		t.Errorf("the second start has %+v and wrote %q", again.Identity(), r.log)
	}
	if other := openOn(t, Map(), Host{Machine: "board"}); other.Identity().Fingerprint == id.Fingerprint {
		t.Error("two nodes have one key")
	}
	disk := Map()
	made := openOn(t, disk, Host{}).Identity()
	if made.Machine == "" || openOn(t, disk, Host{}).Identity() != made {
		t.Error("a machine without an id has none, or not the same again")
	}
	// A first start that was cut short anywhere is gone through again.
	for steps := range 3 {
		disk := Map()
		r := &recorder{Backend: disk}
		r.during = func(string) error {
			if len(r.log) == steps {
				return errors.New("crash")
			}
			return nil
		}
		if _, err := NewOn(r, Host{Machine: "m"}); err == nil {
			t.Fatal("a first start that failed to write succeeded")
		}
		openOn(t, disk, Host{Machine: "m"})
	}
}

func TestSpoiledFilesAreRefused(t *testing.T) {
	newer := []byte(`{"format":99,"kind":"memory","sum":"","body":{}}`)
	for name, c := range map[string]struct {
		file  string
		spoil func([]byte) []byte // nil: it goes missing
		is    error
	}{
		"empty":       {memoryFile, func([]byte) []byte { return nil }, record.ErrTorn},
		"cut off":     {memoryFile, func(b []byte) []byte { return b[:len(b)-7] }, record.ErrTorn},
		"a bit":       {memoryFile, func(b []byte) []byte { return bytes.Replace(b, []byte("vm"), []byte("vn"), 1) }, record.ErrTorn},
		"newer":       {memoryFile, func([]byte) []byte { return newer }, record.ErrNewer},
		"missing":     {memoryFile, nil, nil},
		"key missing": {keyFile, nil, fs.ErrNotExist},
		"key empty":   {keyFile, func([]byte) []byte { return nil }, nil},
		"another key": {keyFile, func([]byte) []byte {
			b := Map()
			openOn(t, b, Host{Machine: "m"})
			data, _ := b.Read(keyFile)
			return data
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			m, err := OpenDir(dir)
			must(t, err)
			must(t, m.CloseGeneration("vm", 3))
			must(t, m.Close())
			path := filepath.Join(dir, c.file)
			data, err := os.ReadFile(path)
			must(t, err)
			if c.spoil == nil {
				must(t, os.Remove(path))
			} else {
				must(t, os.WriteFile(path, c.spoil(data), 0o600))
			}
			_, err = OpenDir(dir)
			if err == nil || !strings.Contains(err.Error(), c.file) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v, want an error that names %s", err, path)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want %v", err, c.is)
			}
			// The refusal keeps nobody out.
			must(t, os.WriteFile(path, data, 0o600))
			m, err = OpenDir(dir)
			must(t, err)
			if m.Closed("vm") != 3 {
				t.Error("the memory was changed")
			}
			must(t, m.Close())
		})
	}
}

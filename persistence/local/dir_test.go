package local

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBootID(t *testing.T) {
	a, err := BootID()
	must(t, err)
	b, err := BootID()
	must(t, err)
	if a == "" || a != b {
		t.Errorf("boot ids %q and %q of one boot", a, b)
	}
}

func TestDirModes(t *testing.T) {
	above := t.TempDir()
	must(t, os.Mkdir(filepath.Join(above, "wide"), 0o755))
	for _, dir := range []string{filepath.Join(above, "a", "b"), filepath.Join(above, "wide")} {
		m, err := OpenDir(dir)
		must(t, err)
		defer m.Close()
		for name, want := range map[string]fs.FileMode{".": 0o700, memoryFile: 0o600, keyFile: 0o600, "lock": 0o600} {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, err)
			if got := info.Mode().Perm(); got != want {
				t.Errorf("%s: mode %o, want %o", filepath.Join(dir, name), got, want)
			}
		}
	}
	if _, err := OpenDir(filepath.Join(above, "wide", memoryFile)); err == nil {
		t.Error("a file passes for a folder")
	}
}

// A crash between write and rename leaves a temporary file: the old memory
// stands, and the next write takes the leftover's place.
func TestCrashBeforeRename(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	m, err := OpenDir(dir)
	must(t, err)
	must(t, m.CloseGeneration("vm", 3))
	must(t, m.Close())
	for _, name := range []string{memoryFile, keyFile} {
		must(t, os.WriteFile(filepath.Join(dir, "."+name+".tmp"), []byte(`{"format":1,"kind":"memory","bo`), 0o600))
	}
	m, err = OpenDir(dir)
	must(t, err)
	defer m.Close()
	if m.Closed("vm") != 3 {
		t.Errorf("closed %d, want 3", m.Closed("vm"))
	}
	must(t, m.CloseGeneration("vm", 4))
	if _, err := os.Stat(filepath.Join(dir, "."+memoryFile+".tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	m, err := OpenDir(dir)
	must(t, err)
	wantLocked(t, dir, os.Getpid())
	must(t, m.Close())
	must(t, m.Close())
	if err := m.SetCluster("c", "u"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a setter after Close: %v, want fs.ErrClosed", err)
	}
	m, err = OpenDir(dir)
	must(t, err)
	must(t, m.Close())
}

// The same between processes, one of which ends without closing anything.
func TestSecondProcessIsRefused(t *testing.T) {
	if dir := os.Getenv("LOCAL_TEST_HOLD"); dir != "" {
		m, err := OpenDir(dir)
		must(t, err)
		must(t, m.CloseGeneration("vm", 3))
		os.Stdout.WriteString("held\n")
		io.Copy(io.Discard, os.Stdin) // until it is killed
		return
	}
	dir := filepath.Join(t.TempDir(), "state")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "LOCAL_TEST_HOLD="+dir)
	in, err := child.StdinPipe()
	must(t, err)
	defer in.Close()
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	held := make([]byte, 5)
	if _, err := io.ReadFull(out, held); err != nil || string(held) != "held\n" {
		t.Fatalf("the child says %q, %v", held, err)
	}
	wantLocked(t, dir, child.Process.Pid)
	must(t, child.Process.Kill())
	child.Wait()
	m, err := OpenDir(dir)
	must(t, err)
	defer m.Close()
	if m.Closed("vm") != 3 {
		t.Error("what the killed process had closed is open")
	}
}

func wantLocked(t *testing.T, dir string, pid int) {
	t.Helper()
	_, err := OpenDir(dir)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != pid || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v, want *LockedError that names process %d", err, pid)
	}
}

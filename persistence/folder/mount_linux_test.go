package folder

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// inMountNamespace runs the calling test again as a process with mounts of its
// own, and reports whether this is that process. It takes root.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("FOLDER_TEST_MOUNTS") != "" {
		return true
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("mounting takes root")
		}
		t.Skip("mounting takes root")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "FOLDER_TEST_MOUNTS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		if os.Getenv("CI") != "" {
			t.Fatal("mount namespaces are not allowed here")
		}
		t.Skip("mount namespaces are not allowed here")
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its own mount namespace: %v\n%s", err, out)
	}
	return false
}

func tmpfs(t *testing.T, options string) string {
	t.Helper()
	root := t.TempDir()
	must(t, syscall.Mount("tmpfs", root, "tmpfs", 0, options))
	t.Cleanup(func() { must(t, syscall.Unmount(root, 0)) })
	return root
}

func TestReadOnlyMount(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	root := tmpfs(t, "size=1m")
	s, err := Open(root)
	must(t, err)
	must(t, s.Put(t.Context(), "x/old", []byte("old")))
	must(t, syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))

	s, err = Open(root)
	must(t, err) // to look at a store takes no right to write
	if o, err := s.Get(t.Context(), "x/old"); err != nil || string(o.Value) != "old" {
		t.Errorf("get: %q, %v", o.Value, err)
	}
	_, now := s.Now(t.Context())
	for op, err := range map[string]error{
		"put in place": s.Put(t.Context(), "x/old", []byte("new")),
		"put":          s.Put(t.Context(), "x/new", []byte("new")),
		"put deep":     s.Put(t.Context(), "y/z/new", []byte("new")),
		"create":       s.Create(t.Context(), "x/new", []byte("new")),
		"delete":       s.Delete(t.Context(), "x/old"),
		"time":         now,
		"proof":        persistence.Prove(t.Context(), s),
	} {
		if !errors.Is(err, persistence.ErrRefused) || errors.Is(err, persistence.ErrUnknown) ||
			!strings.Contains(err.Error(), "mounted read-only") {
			t.Errorf("%s: %v, want a refusal that says read-only", op, err)
		}
	}
}

func TestFullMount(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	root := tmpfs(t, "size=64k")
	s, err := Open(root)
	must(t, err)
	must(t, s.Put(t.Context(), "members/a.json", []byte("a")))
	for i := 0; ; i++ {
		if err = s.Create(t.Context(), fmt.Sprintf("ledger/0/%d", i), bytes.Repeat([]byte("x"), block)); err != nil {
			break
		}
	}
	for op, err := range map[string]error{
		"create":  err,
		"put":     s.Put(t.Context(), "members/b.json", []byte("b")),
		"replace": s.Put(t.Context(), "members/a.json", bytes.Repeat([]byte("x"), 5000)),
	} {
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, persistence.ErrUnknown) || errors.Is(err, persistence.ErrRefused) ||
			!strings.Contains(err.Error(), root+" is full") {
			t.Errorf("%s: %v, want a plain failure that says full", op, err)
		}
	}
	// A heartbeat that has its block is still written, and nothing half made
	// takes the place away for good.
	must(t, s.Put(t.Context(), "members/a.json", []byte("still beating")))
	must(t, s.Delete(t.Context(), "ledger/0/0"))
	must(t, s.Create(t.Context(), "ledger/0/last", []byte("x")))
}

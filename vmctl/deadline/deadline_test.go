package deadline_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/deadline"
)

const boot = "5d1c1c9e-0d5e-4c1c-9f0e-2b8f6a7c3d21"

func write(t *testing.T, path string, d time.Duration) {
	t.Helper()
	if err := deadline.WriteDeadline(path, boot, d); err != nil {
		t.Fatal(err)
	}
}

// The bytes are what others read: they never change.
func TestFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deadline")
	for _, row := range []struct {
		d    time.Duration
		text string
	}{
		{1, boot + "        0000000000000000001\n"},
		{90*time.Second + 5, boot + "        0000000090000000005\n"},
		{vmctl.NoDeadline, boot + "        none               \n"},
		{vmctl.NoDeadline - 1, boot + "        9223372036854775806\n"},
	} {
		write(t, path, row.d)
		b, err := os.ReadFile(path)
		if err != nil || string(b) != row.text || len(b) != 64 || deadline.Size != 64 {
			t.Errorf("%d: %q %v", row.d, b, err)
		}
		if d, err := deadline.ReadDeadline(path, boot); d != row.d || err != nil {
			t.Errorf("%d read as %d, %v", row.d, d, err)
		}
	}
}

func TestAbsentAndOtherBoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deadline")
	if d, err := deadline.ReadDeadline(path, boot); d != 0 || err != nil {
		t.Errorf("absent: %v %v", d, err)
	}
	write(t, path, time.Hour)
	if d, err := deadline.ReadDeadline(path, "another"); d != 0 || err != nil {
		t.Errorf("other boot: %v %v", d, err)
	}
}

func TestMalformed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deadline")
	write(t, path, time.Hour)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "\n", string(whole[:30]), string(whole[:63]), string(whole) + "x",
		strings.Replace(string(whole), "0003600", "-003600", 1),
		strings.Replace(string(whole), "0003600", "none   ", 1),
		strings.Replace(string(whole), boot[:3], " x ", 1),
		boot + "        0000000000000000000\n",
		boot + "        9223372036854775807\n",
		boot + "        9999999999999999999\n",
		strings.Repeat("\x00", 64),
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := deadline.ReadDeadline(path, boot); d != 0 || !errors.Is(err, deadline.ErrMalformed) {
			t.Errorf("%q: %v %v", bad, d, err)
		}
		write(t, path, time.Hour) // mends it
		if d, err := deadline.ReadDeadline(path, boot); d != time.Hour || err != nil {
			t.Errorf("after %q: %v %v", bad, d, err)
		}
	}
}

// A reader that keeps the file open sees later deadlines.
func TestWrittenInPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "deadline")
	write(t, path, time.Hour)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, path, vmctl.NoDeadline)
	b := make([]byte, deadline.Size)
	if _, err := f.ReadAt(b, 0); err != nil || !strings.Contains(string(b), " none") {
		t.Fatalf("%q %v", b, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Fatalf("left over: %v", names)
	}
}

func TestRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deadline")
	for _, id := range []string{"", "a b", "a\n", "é", strings.Repeat("x", 44)} {
		if deadline.WriteDeadline(path, id, 1) == nil {
			t.Errorf("boot id %q is written", id)
		}
		if _, err := deadline.ReadDeadline(path, id); err == nil {
			t.Errorf("boot id %q is read", id)
		}
	}
	for _, d := range []time.Duration{0, -1} {
		if deadline.WriteDeadline(path, boot, d) == nil {
			t.Errorf("deadline %d is written", d)
		}
	}
	if deadline.WriteDeadline(filepath.Join(path, "no", "folder"), boot, 1) == nil {
		t.Error("written nowhere")
	}
}

// Readers beside a writer see deadlines that were written, and nothing else.
func TestReadersBesideAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deadline")
	const a, b = time.Duration(1111111111111111111), time.Duration(2222222222222222222)
	write(t, path, a)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2000 {
			_ = deadline.WriteDeadline(path, boot, b)
			_ = deadline.WriteDeadline(path, boot, a)
		}
	}()
	for {
		d, err := deadline.ReadDeadline(path, boot)
		// Under a writer that never rests the reading may give up.
		if err == nil && d != a && d != b {
			t.Fatalf("read %d, which nobody wrote", d)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

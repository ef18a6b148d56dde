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

// FuzzReadDeadline reads any file. A deadline is read only from the very bytes
// that are written for it, so that no reader of the format, whoever wrote it,
// sees another; none is read only from the file of another boot.
func FuzzReadDeadline(f *testing.F) {
	for _, text := range []string{
		"", "\n", boot + "        0000000000000000001\n", boot + "        none               \n",
		boot + "        9223372036854775806\n", boot + "        9223372036854775807\n", boot + "        +000000000000000001\n",
		boot + "        none\x00\x00\x00               \n", "another" + strings.Repeat(" ", 37) + "0000000000000000001\n",
		strings.Repeat("\x00", deadline.Size), boot + "        1_000_000_000_000_0\n",
	} {
		f.Add([]byte(text))
	}
	// The same folder for all: making one takes longer than all else.
	path := filepath.Join(f.TempDir(), "deadline")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		switch d, err := deadline.ReadDeadline(path, boot); {
		case err != nil:
			if d != 0 || !errors.Is(err, deadline.ErrMalformed) {
				t.Errorf("deadline %d, and the error %v", d, err)
			}
		case d < 0:
			t.Errorf("deadline %d", d)
		case d == 0:
			id, _, _ := strings.Cut(string(data), " ")
			if again, err := deadline.ReadDeadline(path, id); id == boot || err != nil || again == 0 {
				t.Errorf("no deadline in %q, which says of boot %q: %d, %v", data, id, again, err)
			}
		default:
			sameBytes(t, d, data)
		}
		mends(t, path)
	})
}

// sameBytes: what was read is what is written for it.
func sameBytes(t *testing.T, d time.Duration, data []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deadline")
	write(t, path, d)
	if b, err := os.ReadFile(path); err != nil || string(b) != string(data) {
		t.Errorf("deadline %d is read from %q and written as %q: %v", d, data, b, err)
	}
}

// mends: the next deadline is read whatever lay there.
func mends(t *testing.T, path string) {
	t.Helper()
	write(t, path, vmctl.NoDeadline)
	if d, err := deadline.ReadDeadline(path, boot); d != vmctl.NoDeadline || err != nil {
		t.Errorf("after a new deadline: %d, %v", d, err)
	}
}

package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// runs the command line with real stores.
func runs(t *testing.T, code int, text string, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	got := Main(t.Context(), args, &stdout, &stderr)
	if got != code || !strings.Contains(stdout.String()+stderr.String(), text) {
		t.Errorf("%q: %d, want %d and %q:\n%s%s", args, got, code, text, &stdout, &stderr)
	}
}

func TestImportAndCopy(t *testing.T) {
	c := newFixture(t)
	dir := t.TempDir()
	file, here, there := filepath.Join(dir, "export.zip"), filepath.Join(dir, "here"), filepath.Join(dir, "there")
	must(t, os.Mkdir(here, 0o700))
	must(t, os.Mkdir(there, 0o700))
	c.wants(0, "records of cluster", "store", "export", file, "--persist-dir", dir)

	runs(t, 6, "nothing was written", "store", "import", file, "--persist-dir", here)
	runs(t, 0, "cluster cluster-1 is at file://"+here, "store", "import", file, "--persist-dir", here, "--all-stopped", "--members", "a,b")
	runs(t, 6, "is not empty", "store", "import", file, "--persist-dir", here, "--all-stopped", "--members", "a,b")
	runs(t, 2, "no such file", "store", "import", file+"x", "--persist-dir", there, "--all-stopped", "--members", "a,b")
	runs(t, 2, "not a valid zip file", "store", "import", os.Args[0], "--persist-dir", there, "--all-stopped", "--members", "a,b")

	runs(t, 6, "is not frozen", "store", "copy", here, there)
	runs(t, 6, "is not frozen", "store", "copy", here, here)
	runs(t, 3, "does not exist", "store", "copy", here+"x", there)
	runs(t, 2, "no store is called", "store", "copy", here, "ftp://x/y")
	runs(t, 4, "no cluster.json", "store", "copy", there, here)
	if left, err := os.ReadDir(there); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestMoved: of a cluster that is elsewhere nothing is asked here, and nothing repaired.
func TestMoved(t *testing.T) {
	c := newFixture(t)
	c.decide(func(s *ledger.State) { s.Closed, s.MovedTo = true, "s3://there/x" })
	c.wants(4, "has moved to s3://there/x", "freeze")
	c.wants(4, "has moved to s3://there/x", "demote")
	c.wants(4, "has moved to s3://there/x", "ledger", "repair", "--yes")
	c.wants(0, "closed: moved to s3://there/x", "status")
}

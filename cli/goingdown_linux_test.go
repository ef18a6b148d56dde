package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A host goes down if systemd says so, and in no other case; who asks is not held up.
func TestGoingDown(t *testing.T) {
	for name, c := range map[string]struct {
		script string // of systemctl; "": there is none
		down   bool
	}{
		"stopping":             {script: "echo stopping; exit 1", down: true},
		"running":              {script: "echo running"},
		"degraded":             {script: "echo degraded; exit 1"},
		"something else":       {script: "echo not stopping; exit 1"},
		"in vain":              {script: "echo stopping >&2; exit 1"},
		"not asked so":         {script: `[ "$*" = "is-system-running" ] || echo stopping; exit 1`},
		"absent":               {},
		"it hangs":             {script: "trap '' TERM; exec sleep 60"},
		"it hangs, and speaks": {script: "echo stopping; exec sleep 60"},
		"it is killed":         {script: "echo stopping; kill -KILL $$"},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			path := bin
			if c.script != "" {
				must(t, os.WriteFile(filepath.Join(bin, "systemctl"), []byte("#!/bin/sh\n"+c.script+"\n"), 0o700))
				path += ":" + os.Getenv("PATH")
			}
			t.Setenv("PATH", path)
			began := time.Now()
			if down := goingDown(); down != c.down {
				t.Errorf("it says %t", down)
			}
			// 2 s, and what a busy machine takes to notice.
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

package sim

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var (
	updateFlag = flag.Bool("update", false, "write the logs of the scenarios as they come out now")
	scriptFlag = flag.String("sim.script", "testdata/master-dies.txtar", "a file for TestScript to play")
)

// fineTick is how often a scenario is looked at.
const fineTick = 100 * time.Millisecond

// TestScenarios plays testdata/*.txtar. A scenario is the files "cluster" and
// "commands" (see script_test.go and verbs_test.go) and "log", which has to come
// out exactly: each ledger entry, each start and stop of a VM, and who takes
// itself for master, with the second in which it was. One without a log fails.
func TestScenarios(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	const least = 15
	if len(names) < least {
		t.Errorf("%d scenarios, at least %d are expected", len(names), least)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			scenario(t, name)
		})
	}
}

func scenario(t *testing.T, name string) {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseScript(a)
	if err != nil {
		t.Fatal(err)
	}
	w := run(t, 1, s, fineTick, func(w *world) { w.exact = true })
	got := strings.Join(w.decisions, "\n") + "\n"
	if len(w.violations) > 0 {
		w.report(t, s)
		return
	}
	at := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "log" })
	switch {
	case *updateFlag && at < 0:
		a.Files = append(a.Files, txtar.File{Name: "log", Data: []byte(got)})
	case *updateFlag:
		a.Files[at].Data = []byte(got)
	case at < 0:
		t.Fatalf("%s has no log; go test ./sim -run TestScenarios -update writes it", name)
	}
	if *updateFlag {
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(strings.Split(string(a.Files[at].Data), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("%s:\n%s", name, d)
	}
}

func parseScript(a *txtar.Archive) (script, error) {
	var s script
	for _, f := range a.Files {
		for _, line := range lines(f.Data) {
			switch f.Name {
			case "cluster":
				h, err := parseSpec(line)
				if err != nil {
					return s, err
				}
				s.cluster = append(s.cluster, h)
			case "commands":
				c, err := parseCommand(line)
				if err != nil {
					return s, err
				}
				s.commands = append(s.commands, c)
			}
		}
	}
	return s, nil
}

// TestScriptIsItsText: what a failure prints can be played as a scenario.
func TestScriptIsItsText(t *testing.T) {
	for seed := range uint64(100) {
		s := generate(seed + 1)
		again, err := parseScript(txtar.Parse([]byte(s.String())))
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, s)
		}
		if d := cmp.Diff(s.String(), again.String()); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
	}
}

// TestScript plays the script in the file of -sim.script, such as one that a
// failure has printed and somebody has made shorter.
func TestScript(t *testing.T) {
	a, err := txtar.ParseFile(*scriptFlag)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseScript(a)
	if err != nil {
		t.Fatal(err)
	}
	w := run(t, max(*seedFlag, 1), s, fineTick, func(w *world) { w.exact, w.restarts = true, true })
	if len(w.violations) > 0 {
		w.report(t, s)
	}
	t.Logf("%s\n%v", strings.Join(w.decisions, "\n"), w.excuses)
}

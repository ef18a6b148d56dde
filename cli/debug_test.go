package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/report"
)

// recorded is the report of a node that once waited five seconds for its store, lost
// its lease, and saw b silent.
func recorded(t *testing.T) *report.Report {
	t.Helper()
	timings, err := lease.NewTimings(30*time.Second, time.Second)
	must(t, err)
	wall := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := report.New("cluster-1", "a", nil, wall)
	now := time.Hour
	beat := func(took time.Duration) {
		r.Beat(report.Beat{
			Began: now, Answered: now + took, Now: now + took, Wall: wall.Add(now + took - time.Hour),
			Incarnation: "a1", Timings: timings, Debug: true, Counted: true,
		})
		now += max(took, time.Second)
	}
	for range 200 {
		beat(10 * time.Millisecond)
	}
	beat(5 * time.Second)
	beat(10 * time.Millisecond)
	r.FailedOver("b", "no sign of life\nfor the takeover timeout", wall)
	return r.Report()
}

func TestDebugReport(t *testing.T) {
	c := newFixture(t)
	dir := t.TempDir()
	must(t, report.In(dir).Save(recorded(t)))
	text := c.wants(0, "node a of cluster cluster-1 (debug mode: nothing is done)", "debug-report", "--state-dir", dir)
	for _, line := range []string{
		"timings: interval 1s, takeover timeout 30s, renew deadline 13s",
		"beats: 202, of which 202 renewed the lease and 0 failed",
		"b would have been failed over: no sign of life for the takeover timeout",
		"smallest takeover timeout that would have been quiet: 14s (renew deadline 6.4s)",
		"predictable: yes: ",
		"worst gap 6s, within 6.5s",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("nothing says %q:\n%s", line, text)
		}
	}

	var v report.View
	d := json.NewDecoder(strings.NewReader(c.wants(0, "", "debug-report", "--state-dir", dir, "-o", "json")))
	d.DisallowUnknownFields()
	must(t, d.Decode(&v))
	if v.Node != "a" || v.Renewals != 202 || v.Quiet == nil || *v.Quiet != 14 || v.Gap.Seconds != 6 || v.Happened.FailedOver != 1 || len(v.Events) != 1 {
		t.Errorf("%+v", v)
	}

	// By the node's name below the default, which is not ours to write to.
	c.wants(2, filepath.Join("/var/lib/hoster-ha", "no-such-node")+": there is no report", "debug-report", "--node-name", "no-such-node")
	c.wants(2, "there is no report", "debug-report", "--state-dir", t.TempDir())
	c.wants(2, "unexpected argument", "debug-report", "a")
	must(t, os.WriteFile(filepath.Join(dir, report.Name), []byte(`{"format":1,`), 0o600))
	c.wants(1, "debug-report.json: torn record", "debug-report", "--state-dir", dir)
}

// TestEmptyDebugReport: lists are never null.
func TestEmptyDebugReport(t *testing.T) {
	c := newFixture(t)
	dir := t.TempDir()
	must(t, report.In(dir).Save(report.New("c", "a", nil, time.Now()).Report()))
	out := c.wants(0, `"peers": []`, "debug-report", "--state-dir", dir, "-o", "json")
	for _, field := range []string{`"events": []`, `"replicas": []`, `"quiet_timeout": null`, `"is": null`} {
		if !strings.Contains(out, field) {
			t.Errorf("no %s in\n%s", field, out)
		}
	}
	c.wants(0, "smallest takeover timeout that would have been quiet: none is known", "debug-report", "--state-dir", dir)
}

func TestDebugWords(t *testing.T) {
	c := newFixture(t)
	c.wants(2, `debug "maybe": on or off`, "debug", "maybe")
	c.wants(2, "too few arguments", "debug")
	if len(c.requests()) > 0 {
		t.Error("something was asked for")
	}
}

// TestCommandsAreDocumented: docs/commands.md has each command that people are shown.
func TestCommandsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/commands.md")
	must(t, err)
	for _, cmd := range commands(&app{}) {
		name := cmd.Name()
		if cmd.Hidden || name == "demo" {
			continue
		}
		if !slices.ContainsFunc(strings.Split(string(data), "\n"), func(line string) bool {
			words := strings.FieldsFunc(line, func(r rune) bool { return r != '-' && !unicode.IsLetter(r) })
			heading, row := strings.HasPrefix(line, "#"), strings.HasPrefix(line, "| `")
			return heading && slices.Contains(words, name) || row && words[0] == name
		}) {
			t.Errorf("docs/commands.md has no %s", name)
		}
	}
}

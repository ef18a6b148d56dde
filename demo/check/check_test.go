package check

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree is a root made of evidence lines and snapshot files.
type tree struct {
	t    *testing.T
	root string
	pid  int
}

func (r *tree) write(path, text string) {
	r.t.Helper()
	path = filepath.Join(r.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// lines writes one process's evidence on a host: "kind at-seconds counter
// [guid]".
func (r *tree) lines(host string, records ...string) {
	r.pid++
	var b strings.Builder
	for _, rec := range records {
		var kind, guid string
		var at float64
		var counter int
		if n, _ := fmt.Sscan(rec, &kind, &at, &counter, &guid); n < 3 {
			r.t.Fatalf("record %q", rec)
		}
		fmt.Fprintf(&b, `{"kind":%q,"vm":"web","host":%q,"pid":%d,"boot_ns":%d,"counter":%d,"guid":%q}`+"\n",
			kind, host, r.pid, int64(at*1e9), counter, guid)
	}
	r.write(fmt.Sprintf("evidence/web/%s-%d.jsonl", host, r.pid), b.String())
}

func (r *tree) snap(path string, counter int) {
	sum := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "web %d", counter)))
	r.write(path, fmt.Sprintf("%020d %s\n", counter, sum[:42]))
}

func TestJudge(t *testing.T) {
	// moved is a failover without fault from a to b at the snapshot 11.
	moved := func(r *tree) {
		r.lines("a", "start 10 0", "beat 11 50", "beat 12 100")
		r.lines("a", "snapshot 11.5 75 11", "snapshot 11.9 95 12")
		r.lines("b", "prepare 20 75 11")
		r.lines("b", "start 21 75", "stop 22 125")
		r.snap("a/snapshots/web/11.snap", 75)
		r.snap("a/snapshots/web/12.snap", 95)
		r.snap("b/snapshots/web/11.snap", 75)
	}
	for name, c := range map[string]struct {
		make func(r *tree)
		want []string // kinds
	}{
		"nothing wrong": {moved, nil},
		"overlap": {func(r *tree) {
			moved(r)
			r.lines("c", "prepare 21.1 75 11")
			r.lines("c", "start 21.5 75", "beat 21.6 80")
			r.snap("c/snapshots/web/11.snap", 75)
		}, []string{Overlap}},
		"overlap within a longer run": {func(r *tree) {
			r.lines("a", "start 1 0", "beat 30 100")
			r.lines("a", "start 5 0", "stop 6 10")
			r.lines("a", "start 7 10", "stop 8 20")
		}, []string{Overlap, Overlap, RolledBack}},
		"wrong counter": {func(r *tree) {
			moved(r)
			r.lines("c", "prepare 23 75 11")
			r.lines("c", "start 24 76", "stop 25 80")
			r.snap("c/snapshots/web/11.snap", 75)
		}, []string{WrongCounter, WrongCounter}},
		"prepare lies about the snapshot": {func(r *tree) {
			moved(r)
			r.lines("c", "prepare 23 80 11")
			r.lines("c", "start 24 80", "stop 25 90")
			r.snap("c/snapshots/web/11.snap", 75)
		}, []string{WrongCounter}},
		"a copy differs": {func(r *tree) {
			moved(r)
			r.snap("a/aside/web/x/beyond/12.snap", 96)
		}, []string{WrongCounter}},
		"missing snapshot": {func(r *tree) {
			moved(r)
			r.lines("a", "snapshot 11.95 97 13")
		}, []string{Missing}},
		"missing replica, though others have it": {func(r *tree) {
			moved(r)
			r.lines("a", "snapshot 11.6 80 14")
			r.lines("c", "replica 11.7 80 14")
			r.snap("a/snapshots/web/14.snap", 80)
		}, []string{Missing}},
		"kept aside": {func(r *tree) {
			moved(r)
			r.lines("c", "replica 11.95 95 12")
			r.snap("c/aside/web/x/beyond/12.snap", 95)
		}, nil},
		"torn snapshot": {func(r *tree) {
			moved(r)
			r.write("a/snapshots/web/12.snap", "00000000000000000095 0123\n")
		}, []string{Missing}},
		"unprepared": {func(r *tree) {
			moved(r)
			r.lines("a", "start 30 100", "stop 31 120")
		}, []string{Unprepared}},
		"restart in place": {func(r *tree) {
			moved(r)
			r.lines("b", "start 30 126", "stop 31 130")
		}, nil},
		"rolled back in place": {func(r *tree) {
			moved(r)
			r.lines("b", "start 30 100", "stop 31 130")
		}, []string{RolledBack}},
		"a beat after the stop": {func(r *tree) {
			r.lines("a", "start 1 0", "stop 2 5", "beat 3 6")
		}, []string{Broken}},
		"unreadable, and one that is still being written": {func(r *tree) {
			r.write("evidence/web/a-1.jsonl", "{}\n{\"kind")
		}, []string{Broken}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &tree{t: t, root: t.TempDir()}
			c.make(r)
			report, err := Check(r.root)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range report.Violations {
				got = append(got, v.Kind)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Fatalf("%s\n%v", d, report.Violations)
			}
		})
	}
}

func TestGenerationWentBack(t *testing.T) {
	r := &tree{t: t, root: t.TempDir()}
	for i, g := range []int{2, 1} {
		r.write(fmt.Sprintf("evidence/web/a-%d.jsonl", i), fmt.Sprintf(
			`{"kind":"start","vm":"web","host":"a","pid":1,"boot_ns":%d,"counter":0,"generation":%d}`+"\n", i+1, g))
	}
	report, err := Check(r.root)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Violations) != 1 || report.Violations[0].Kind != Generation {
		t.Fatal(report.Violations)
	}
}

func TestReport(t *testing.T) {
	r := &tree{t: t, root: t.TempDir()}
	r.lines("a", "start 10 0", "beat 12 100")
	r.lines("a", "snapshot 11.5 75 11")
	r.lines("b", "prepare 20 75 11")
	r.lines("b", "start 21 75", "stop 22 125")
	r.lines("b", "start 23 125", "stop 24 130")
	r.snap("a/snapshots/web/11.snap", 75)
	r.snap("b/snapshots/web/11.snap", 75)
	report, err := Check(r.root)
	if err != nil {
		t.Fatal(err)
	}
	want := []VM{{
		Name: "web", Hosts: []string{"a", "b"}, Runs: 3,
		Moves: []Move{
			{From: "a", To: "b", Snapshot: "11", Downtime: 9 * time.Second, CounterLost: 25, DataLost: 500 * time.Millisecond},
			{From: "b", To: "b", Downtime: time.Second},
		},
		Downtime: 10 * time.Second, CounterLost: 25, DataLost: 500 * time.Millisecond,
	}}
	if d := cmp.Diff(want, report.VMs); d != "" {
		t.Fatal(d)
	}
	var b strings.Builder
	if err := report.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"a > b", "10.0s", "0.5s", "0 violations"} {
		if !strings.Contains(b.String(), s) {
			t.Errorf("%q is not in\n%s", s, b.String())
		}
	}
}

func TestNoEvidence(t *testing.T) {
	if _, err := Check(t.TempDir()); err == nil {
		t.Fatal("a folder without evidence was judged")
	}
}

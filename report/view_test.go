package report_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/report"
)

// TestQuiet holds the timeout against the rules of the lease: with it nothing would
// have happened, and with a second less something would.
func TestQuiet(t *testing.T) {
	for _, c := range []struct {
		gap, peer, interval, want time.Duration
	}{
		{0, 0, time.Second, 10 * time.Second}, // ten intervals at least
		{0, 0, 200 * ms, 2 * time.Second},
		{0, 0, 50 * ms, time.Second},
		{5 * time.Second, 0, time.Second, 11 * time.Second},  // D of 10 s is 5 s: not enough
		{4900 * ms, 0, time.Second, 10 * time.Second},        // D of 10 s
		{0, 12 * time.Second, time.Second, 13 * time.Second}, // at T it would be judged
		{0, 12500 * ms, time.Second, 13 * time.Second},
		{13 * time.Second, time.Second, time.Second, 29 * time.Second}, // D of 29 s is 13.4 s, of 30 s only 13 s
		{24 * time.Hour, 0, time.Second, 0},
		{0, 25 * time.Hour, time.Second, 0},
		{0, 0, 0, 0},
	} {
		r := &report.Report{
			Timings: record.Timings{Interval: c.interval}, Gap: report.Silence{Length: c.gap},
			Peers: map[string]report.Peer{"b": {}, "c": {Worst: report.Silence{Length: c.peer}}},
		}
		got, ok := r.Quiet()
		if ok != (c.want > 0) || got.Timeout != c.want {
			t.Errorf("gap %s, silence %s, interval %s: %s (%t), want %s", c.gap, c.peer, c.interval, got.Timeout, ok, c.want)
		}
		if !ok {
			continue
		}
		if got.Renew <= c.gap || got.Timeout <= c.peer {
			t.Errorf("gap %s, silence %s: %+v would not have been quiet", c.gap, c.peer, got)
		}
		if less, err := lease.NewTimings(got.Timeout-time.Second, c.interval); err == nil && less.Renew > c.gap && less.Timeout > c.peer {
			t.Errorf("gap %s, silence %s: %s would have been quiet too", c.gap, c.peer, less.Timeout)
		}
	}
}

// ages are snapshots made that long before the epoch.
func ages(seconds ...int) []record.Snapshot {
	var list []record.Snapshot
	for _, s := range seconds {
		list = append(list, record.Snapshot{Created: epoch.Add(-time.Duration(s) * time.Second)})
	}
	return list
}

func host(wall time.Time, running string, sets ...record.Dataset) report.Host {
	inv := &record.Inventory{Datasets: sets}
	if running != "" {
		inv.VMs = []record.HostVM{{Name: running, State: record.VMRunning}}
	}
	return report.Host{Inventory: inv, Wall: wall}
}

func TestLags(t *testing.T) {
	set := func(seconds ...int) record.Dataset { return record.Dataset{VM: "v", Snapshots: ages(seconds...)} }
	skewed := epoch.Add(time.Hour) // a clock that must not matter
	for _, c := range []struct {
		name  string
		hosts map[string]report.Host
		want  []report.Lag
	}{
		{
			"a replica, by the owner's clock",
			map[string]report.Host{"a": host(epoch, "v", set(40, 30, 20, 10, 2)), "b": host(skewed, "", set(40, 30, 20))},
			[]report.Lag{{"v", "a", true, 2 * time.Second, 10 * time.Second}, {"v", "b", false, 20 * time.Second, 10 * time.Second}},
		},
		{"one snapshot tells no interval", map[string]report.Host{"a": host(epoch, "v", set(5))}, []report.Lag{{"v", "a", true, 5 * time.Second, 0}}},
		{
			"only the newest tell",
			map[string]report.Host{"a": host(epoch, "v", set(9000, 8000, 7000, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0))},
			[]report.Lag{{"v", "a", true, 0, time.Second}},
		},
		{"a VM that runs nowhere", map[string]report.Host{"a": host(epoch, "", set(40, 30)), "b": host(epoch, "", set(40))}, nil},
		{"one that runs twice", map[string]report.Host{"a": host(epoch, "v", set(40, 30)), "b": host(epoch, "v", set(40))}, nil},
		{"no snapshots", map[string]report.Host{"a": host(epoch, "v"), "b": host(epoch, "", set(40))}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := report.Lags(c.hosts)
			slices.SortFunc(got, func(a, b report.Lag) int { return strings.Compare(a.Host, b.Host) })
			if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestVerdicts: what a report answers, in both directions.
func TestVerdicts(t *testing.T) {
	lag := func(age time.Duration) func(s *script) {
		return func(s *script) {
			s.Lag([]report.Lag{{VM: "v", Host: "b", Age: age, Interval: 5 * time.Second}, {VM: "v", Host: "a", Own: true}}, s.wall())
		}
	}
	for _, c := range []struct {
		name                         string
		do                           func(s *script)
		predictable, store, replicas string // y, n, or ? while it is not known
		say                          string
	}{
		{"too little is known", func(s *script) { s.well(50) }, "?", "?", "?", "predictable: not known: fewer than 100 beats were answered"},
		{"all is well", func(s *script) { s.well(200) }, "y", "y", "?", "predictable: yes: 99 % of beats answered in 10ms, within 500ms; 99 % begun late by"},
		{"a gap", func(s *script) { s.well(200); s.goes(8 * time.Second); s.well(1) }, "n", "y", "?", "worst gap 9.01s, over 6.5s"},
		{"a slow store", func(s *script) {
			for range 200 {
				s.beat(600*ms, "")
				s.goes(400 * ms)
			}
		}, "n", "n", "?", "store kept up: NO: 99 % of beats answered in 600ms, over 500ms"},
		{"an unreliable store", func(s *script) {
			for range 100 {
				s.well(9)
				s.beat(10*ms, "cut off")
				s.goes(990 * ms)
			}
		}, "y", "n", "?", "100 of 1000 failed"},
		{"a busy host", func(s *script) {
			for range 200 {
				s.well(1)
				s.goes(time.Second)
			}
		}, "n", "y", "?", "99 % begun late by 1s, over 500ms"},
		{"replicas in time", func(s *script) { s.well(200); lag(19 * time.Second)(s) }, "y", "y", "y", "replica of v on b: 19s old, 19s at worst, interval 5s: kept up"},
		{"replicas behind", func(s *script) { s.well(200); lag(21 * time.Second)(s); lag(time.Second)(s) }, "y", "y", "n", "replicas kept up: NO: 1 of 1 were behind: v on b"},
		{"the timeout", func(s *script) { s.well(200) }, "y", "y", "?", "smallest takeover timeout that would have been quiet: 10s (renew deadline 5s)"},
		{
			"a gap that had not ended", func(s *script) { s.well(200); s.beat(9*time.Second, "cut off") }, "n", "y", "?",
			"that would have been quiet: 22s (renew deadline 10.2s), or longer: a gap had not ended",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := begin(nil)
			c.do(s)
			v := s.Report().View()
			word := func(v report.Verdict) string {
				switch {
				case v.Is == nil:
					return "?"
				case *v.Is:
					return "y"
				}
				return "n"
			}
			text := strings.Join(v.Lines(), "\n")
			if got := word(v.Predictable) + word(v.StoreKept) + word(v.ReplicaKept); got != c.predictable+c.store+c.replicas {
				t.Errorf("%s, want %s%s%s\n%s", got, c.predictable, c.store, c.replicas, text)
			}
			if !strings.Contains(text, c.say) {
				t.Errorf("nothing says %q:\n%s", c.say, text)
			}
		})
	}
}

// FuzzReport: whatever lies in the place of a report, it is refused or can be shown,
// gone on with and kept, and stays within its bounds.
func FuzzReport(f *testing.F) {
	s := begin(nil)
	s.well(120)
	s.set += time.Minute
	s.well(1)
	s.Lost(s.now, s.wall())
	s.Lag([]report.Lag{{VM: "v", Host: "b", Age: time.Second, Interval: time.Second}}, s.wall())
	whole, err := s.Report().Seal()
	if err != nil {
		f.Fatal(err)
	}
	body, err := json.Marshal(s.Report())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, false)
	f.Add(whole[:len(whole)/2], false)
	f.Add(body, true)
	for _, text := range []string{
		`{}`, `null`, `{"version":1}`, `{"version":2}`, `{"version":1,"store":{"counts":[18446744073709551615,1],"worst":-1}}`,
		`{"version":1,"timings":{"interval":1000000000,"renew":-1},"gap":{"length":9223372036854775807},"renewals":1}`,
		`{"version":1,"peers":{"":{"worst":{"length":-1}}},"replicas":{"v":null,"w":{"":{"interval":1}}},"events":[{"kind":"\u001b"}]}`,
	} {
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, wrap bool) {
		if wrap {
			sealed, err := record.Seal("debug-report", json.RawMessage(data))
			if err != nil {
				return // no JSON, which nothing can be made of
			}
			data = sealed
		}
		r, err := report.Open(data)
		if (r == nil) != (err != nil) {
			t.Fatalf("%+v, %v", r, err)
		}
		if err != nil {
			return
		}
		for _, line := range r.View().Lines() {
			if strings.ContainsAny(line, "\n\x1b\x00") || len(line) > 400 {
				t.Errorf("%q", line)
			}
		}
		if _, err := json.Marshal(r.View()); err != nil {
			t.Errorf("what is shown to programs: %v", err)
		}
		again := begin(r)
		again.well(2)
		again.Lag([]report.Lag{{VM: "v", Host: "b"}}, again.wall())
		again.FailedOver("b", "x", again.wall())
		kept := again.Report()
		if len(kept.Events) > 100 || kept.Runs != r.Runs+1 {
			t.Errorf("%d events, %d runs after %d", len(kept.Events), kept.Runs, r.Runs)
		}
		sealed, err := kept.Seal()
		if err != nil {
			return // a time that JSON does not know
		}
		if _, err := report.Open(sealed); err != nil {
			t.Errorf("what was kept is refused: %v", err)
		}
	})
}

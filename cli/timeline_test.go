package cli

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

func newTimings(timeout, interval time.Duration) (lease.Timings, error) {
	return lease.NewTimings(timeout, interval)
}

// The worst case, second by second: whoever changes it changes a promise.
func TestTimeline(t *testing.T) {
	for _, x := range []struct {
		timeout, interval time.Duration
		want              []string
	}{
		{30 * time.Second, time.Second, []string{
			"0 0", "1 I", "13 D", "16 D+M", "19 D+S", "22 D+S+K", "27 D+S+K+W",
			"30 T", "31 T+I", "32 T+2I", "33 T+3I", "34 T+4I",
		}},
		{500 * time.Millisecond, 50 * time.Millisecond, []string{
			"0 0", "0.05 I", "0.3 D", "0.35 D+M", "0.4 D+S", "0.45 D+S+K",
			"0.5 T", "0.55 T+I", "0.6 T+2I", "0.65 T+3I", "0.7 T+4I",
		}},
		{10 * time.Minute, 10 * time.Second, []string{
			"0 0", "10 I", "260 D", "320 D+M", "380 D+S", "440 D+S+K", "540 D+S+K+W",
			"600 T", "610 T+I", "620 T+2I", "630 T+3I", "640 T+4I",
		}},
	} {
		timings, err := lease.NewTimings(x.timeout, x.interval)
		must(t, err)
		var got []string
		steps := timeline(timings)
		for i, s := range steps {
			if i > 0 && s.at < steps[i-1].at {
				t.Errorf("%s comes before %s", s.what, steps[i-1].what)
			}
			got = append(got, number(s.at)+" "+s.name)
		}
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%s: %s", x.timeout, diff)
		}
		if sum := timings.Renew + timings.StopGrace + timings.Kill + timings.Watchdog + timings.Margin; sum > timings.Timeout {
			t.Errorf("%s: D+S+K+W+M is %s", x.timeout, sum)
		}
	}
}

func TestTimelineOfTheCluster(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.wants(0, "Timings of cluster cluster-1: timeout 30s", "timeline", "--persist-dir", "/x")
		c.wants(0, "Timings of the settings: timeout 1m0s", "timeline", "--persist-dir", "/x", "--timeout", "60s")
		c.wants(0, "Timings of the settings: timeout 30s", "timeline")
		c.wants(0, "Below a timeout of 5s no watchdog device is armed", "timeline", "--timeout", "3s", "--interval", "200ms")
		var rows []struct {
			Seconds float64
			What    string
		}
		must(t, json.Unmarshal([]byte(c.wants(0, "", "timeline", "-o", "json")), &rows))
		if len(rows) != 12 || rows[11].Seconds != 34 {
			t.Errorf("%v", rows)
		}
		c.store = memory.New()
		c.wants(0, "these are not its timings", "timeline", "--persist-dir", "/x")
	})
}

func TestTimings(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		var got map[string]any
		must(t, json.Unmarshal([]byte(c.wants(0, "", "timings", "-o", "json")), &got))
		want := map[string]any{
			"interval": 1.0, "timeout": 30.0, "renew_deadline": 13.0, "stop_grace": 6.0, "kill": 3.0, "watchdog": 5.0, "margin": 3.0, "frozen": false,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		c.wants(0, "takeover timeout", "timings")
	})
}

func TestVersionAndHelp(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.wants(0, "hoster-ha "+Version, "version")
		c.wants(0, "hoster-ha "+Version, "version", "--config", "/does/not/exist")
		c.wants(0, "bash completion", "completion", "bash")
		for _, cmd := range commands(&app{}) {
			if cmd.Hidden || cmd.HasSubCommands() {
				continue
			}
			c.wants(0, "Exit code", cmd.Name(), "--help")
		}
		for _, name := range []string{"show", "verify", "repair"} {
			c.wants(0, "Exit code", "ledger", name, "--help")
		}
	})
}

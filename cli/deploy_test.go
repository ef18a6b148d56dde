package cli

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"
)

// serviceRuns checks that a command line of a service is one of this program, and gives the
// command's name.
func serviceRuns(t *testing.T, line string) string {
	t.Helper()
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "/usr/local/sbin/hoster-ha" {
		t.Fatalf("it runs %q", line)
	}
	cmd, args, err := newRoot(&app{}).Find(words[1:])
	must(t, err)
	if err := cmd.ParseFlags(args); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	if left := cmd.Flags().Args(); len(left) > 0 {
		t.Errorf("%s: %q is nothing to it", line, left)
	}
	return cmd.Name()
}

// The units run what there is, and keep daemon, watchdog and VMs from ending each other.
func TestSystemdUnits(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		want    map[string]string
	}{
		"hoster-ha": {"hoster-ha", map[string]string{
			"Type": "notify", "Restart": "always", "KillMode": "process", "OOMPolicy": "continue", "StartLimitIntervalSec": "0",
		}},
		"hoster-ha-watchdog": {"watchdog", map[string]string{
			"Type": "exec", "Restart": "always", "KillMode": "process", "TimeoutStopSec": "infinity", "SendSIGKILL": "no",
			"OOMScoreAdjust": "-1000", "StartLimitIntervalSec": "0",
		}},
	} {
		f, err := os.Open("../deploy/systemd/" + name + ".service")
		must(t, err)
		options, err := unit.DeserializeOptions(f)
		must(t, err)
		must(t, f.Close())
		got := map[string]string{}
		for _, o := range options {
			if _, twice := got[o.Name]; twice {
				t.Errorf("%s: %s is said twice", name, o.Name)
			}
			got[o.Name] = o.Value
		}
		if cmd := serviceRuns(t, got["ExecStart"]); cmd != c.command {
			t.Errorf("%s runs %s", name, cmd)
		}
		for key, value := range c.want {
			if got[key] != value {
				t.Errorf("%s: %s=%s, want %s", name, key, got[key], value)
			}
		}
		for _, bond := range []string{"Requires", "Requisite", "BindsTo", "PartOf", "Upholds", "Conflicts", "PropagatesStopTo", "StopPropagatedFrom", "RefuseManualStop"} {
			if _, bound := got[bond]; bound {
				t.Errorf("%s: %s=%s", name, bond, got[bond])
			}
		}
		// The watchdog is stopped after the daemon.
		if after := got["After"]; strings.Contains(after, "hoster-ha-watchdog.service") != (name == "hoster-ha") || strings.Contains(after, "hoster-ha.service") {
			t.Errorf("%s: After=%s", name, after)
		}
	}
}

// The scripts for FreeBSD run what there is, under a supervisor that starts it again.
func TestRcScripts(t *testing.T) {
	for name, command := range map[string]string{"hoster_ha": "hoster-ha", "hoster_ha_watchdog": "watchdog"} {
		path := "../deploy/rc.d/" + name
		text, err := os.ReadFile(path)
		must(t, err)
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		found := regexp.MustCompile(`(?m)^command_args="(-r -R 1 .*) (/usr/local/sbin/hoster-ha .*)"$`).FindSubmatch(text)
		if found == nil {
			t.Fatalf("%s: %s", name, text)
		}
		if cmd := serviceRuns(t, string(found[2])); cmd != command {
			t.Errorf("%s runs %s", name, cmd)
		}
		said := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^# (PROVIDE|REQUIRE|KEYWORD): (.*)$`).FindAllSubmatch(text, -1) {
			said[string(m[1])] = string(m[2])
		}
		if said["PROVIDE"] != name || strings.Contains(said["REQUIRE"], "hoster_ha_watchdog") != (name == "hoster_ha") {
			t.Errorf("%s: %q", name, said)
		}
		if !strings.Contains(string(text), `name="`+name+`"`) || !slices.Contains(slices.Collect(maps.Keys(said)), "KEYWORD") {
			t.Errorf("%s: %s", name, text)
		}
		if i, err := os.Stat(path); err != nil || i.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s: %v, %v", name, i.Mode(), err)
		}
	}
}

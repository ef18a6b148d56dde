package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/vmctl/command"
)

// load puts the settings together from a file and flags, "name=value".
func load(t *testing.T, path string, given ...string) (*config.Settings, error) {
	t.Helper()
	flags := daemonFlags()
	for _, g := range append(given, "config="+path) {
		name, value, _ := strings.Cut(g, "=")
		if err := flags.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	return config.Load(flags)
}

// daemonFlags are all flags of the daemon.
func daemonFlags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.StoreFlags(flags)
	config.DaemonFlags(flags)
	return flags
}

const wholeFile = `persist-dir: /srv/ha
node-name: a
interval: 2s
timeout: 60s
role: candidate
watchdog: required
fence-action: reboot
accept-unproved: true
driver:
  kind: command
  list: [/bin/list]
  start: [/bin/start, "{vm}", "{generation}"]
  stop: [/bin/stop, "{vm}"]
  self_stop: true
  stop_timeout: 30s
snapshots:
  kind: command
  list: [/bin/snapshots]
  prepare: [/bin/prepare, "{vm}", "{guid}"]
`

// FuzzLoad loads any file. What is accepted has no key that the program does
// not know, gives way to the command line, and is fit to run if it is said to
// be; what is refused is refused by an error that says where.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		wholeFile, "", "a", "- a", "persist-dir: /x\nlisten:\n", "driver:\n", "driver: [x]", "driver: {kind: command, list: /x}",
		"listen: {a: b}", "driver.kind: command", "1: x", "node-name: 007\npersist-url: file:///x", "timeout: -1s", "a: &a [*a]",
		"role: witness\ndriver: {kind: command, list: [/a], start: [/a], stop: [/a]}", "snapshots: {kind: command}", "config: /x",
		"driver:\n  kind: command\n  unknown: 1\n", "{a: 1, a: 2}", "\x00", "listen: \"\\xff:1\"", "watchdog: off", "watchdog: 1", "accept-unproved: no", "accept-unproved: true\nfence-action: log\n", "expect-nodes: 1e99",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "settings.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := load(t, path)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "--config "+path+": ") && !strings.HasPrefix(err.Error(), "settings: ") {
				t.Errorf("the error does not say where: %v", err)
			}
			return
		}
		keysKnown(t, data)
		fit(t, s)
		if again, err := load(t, path); err != nil || !cmp.Equal(s, again) {
			t.Errorf("loaded again: %v, %s", err, cmp.Diff(s, again))
		}
		s, err = load(t, path, "listen=127.0.0.1:1", "startup-grace=3m", "persist-dir=/given")
		if err != nil || s.Listen != "127.0.0.1:1" || s.Grace != 3*time.Minute || s.PersistDir != "/given" || s.PersistURL != "" {
			t.Errorf("the file goes before the command line: %+v, %v", s, err)
		}
	})
}

// keysKnown reads the file by other means: nothing in it was passed over.
func keysKnown(t *testing.T, data []byte) {
	t.Helper()
	flags := daemonFlags()
	known := map[string][]string{"driver": fields(t, command.DriverConfig{}), "snapshots": fields(t, command.SnapshotsConfig{})}
	var file map[string]any
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatalf("accepted, and no YAML: %v", err)
	}
	for key, value := range file {
		names, section := known[key]
		if !section && flags.Lookup(key) == nil {
			t.Errorf("the unknown key %q is accepted", key)
		}
		inner, _ := value.(map[string]any)
		for name := range inner {
			if !section || !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
				t.Errorf("the unknown key %q of %q is accepted", name, key)
			}
		}
	}
}

// fields are the keys that a section has.
func fields(t *testing.T, section any) []string {
	t.Helper()
	text, err := yaml.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := yaml.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	var names []string
	for k := range keys {
		names = append(names, k)
	}
	return names
}

// fit: what Validate lets through can be run.
func fit(t *testing.T, s *config.Settings) {
	t.Helper()
	if s.NodeName == "" || s.StateDir == "" {
		t.Errorf("no name or no folder: %+v", s)
	}
	if s.Validate() != nil {
		return
	}
	ts, err := s.Timings()
	if err != nil || ts.Renew <= 0 || ts.Interval <= 0 || s.Grace < 0 || s.Expect < 0 || persistence.CheckName(s.NodeName) != nil {
		t.Errorf("valid, with timings %+v (%v): %+v", ts, err, s)
	}
	if url, err := s.StoreURL(); err != nil || url == "" {
		t.Errorf("valid, with the store %q: %v", url, err)
	}
	if s.FenceAction == "log" && (s.Accept || s.Watchdog == "required") {
		t.Errorf("valid, and a host that is not ended proves that it is: %+v", s)
	}
	if s.Snapshots != nil && (s.Driver == nil || s.Snapshots.Validate() != nil) {
		t.Errorf("valid, with the snapshots %+v", s.Snapshots)
	}
	if s.Driver == nil {
		return
	}
	for _, args := range [][]string{s.Driver.List, s.Driver.Start, s.Driver.Stop} {
		if len(args) == 0 || !filepath.IsAbs(args[0]) || s.Role == "witness" {
			t.Errorf("valid, with the command %q as a %s", args, s.Role)
		}
	}
	if s.OnStop == "" && (s.Stop() == "move") != s.Driver.SelfStop {
		t.Errorf("VMs that stop themselves: %t, and are treated so: %s", s.Driver.SelfStop, s.Stop())
	}
}

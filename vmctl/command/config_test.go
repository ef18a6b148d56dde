package command

import (
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const whole = `
driver:
  kind: command
  list: ["/x/p", "list"]
  start: ["/x/p", "start", "{vm}", "--generation={generation}"]
  stop: ["/x/p", "stop", "{vm}"]
  kill: ["/x/p", "kill", "{vm}"]
  monitor: ["/x/p", "monitor", "{vm}"]
  self_stop: true
  list_timeout: 5s
  start_timeout: 2m
  stop_timeout: 20s
  monitor_timeout: 1500ms
snapshots:
  kind: command
  list: ["/x/p", "snapshots"]
  prepare: ["/x/p", "prepare", "{vm}", "{guid}", "{generation}"]
  snapshot: ["/x/p", "snapshot", "{vm}"]
  list_timeout: 1s
  prepare_timeout: 2s
  snapshot_timeout: 3s
`

type settings struct {
	Driver    DriverConfig    `yaml:"driver"`
	Snapshots SnapshotsConfig `yaml:"snapshots"`
}

func parse(t *testing.T, text string) settings {
	t.Helper()
	var s settings
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConfigFromYAML(t *testing.T) {
	s := parse(t, whole)
	if err := s.Driver.Validate(); err != nil {
		t.Error(err)
	}
	if err := s.Snapshots.Validate(); err != nil {
		t.Error(err)
	}
	d := s.Driver
	if !d.SelfStop || d.MonitorTimeout != 1500*time.Millisecond || d.StartTimeout != 2*time.Minute || d.Start[3] != "--generation={generation}" {
		t.Errorf("%+v", d)
	}
}

func TestConfigDefaults(t *testing.T) {
	d := DriverConfig{}.withDefaults()
	if d.ListTimeout != 10*time.Second || d.StartTimeout != time.Minute || d.StopTimeout != 30*time.Second || d.MonitorTimeout != 10*time.Second {
		t.Errorf("%+v", d)
	}
	s := SnapshotsConfig{}.withDefaults()
	if s.ListTimeout != 30*time.Second || s.PrepareTimeout != time.Minute || s.SnapshotTimeout != 10*time.Minute {
		t.Errorf("%+v", s)
	}
}

func TestValidateNamesTheKey(t *testing.T) {
	for key, change := range map[string]func(*settings){
		"driver.kind":                func(s *settings) { s.Driver.Kind = "comand" },
		"driver.list":                func(s *settings) { s.Driver.List = nil },
		"driver.list:":               func(s *settings) { s.Driver.List = []string{"/x", "{vm}"} },
		"driver.start":               func(s *settings) { s.Driver.Start = []string{} },
		"driver.start:":              func(s *settings) { s.Driver.Start = []string{"/x", "{guid}"} },
		"driver.stop":                func(s *settings) { s.Driver.Stop = []string{"relative"} },
		"driver.kill":                func(s *settings) { s.Driver.Kill = []string{"/x/{vm}"} },
		"driver.monitor":             func(s *settings) { s.Driver.Monitor = []string{"/x", "a\x00"} },
		"driver.monitor:":            func(s *settings) { s.Driver.Monitor = []string{"/x", "{generation}"} },
		"driver.list_timeout":        func(s *settings) { s.Driver.ListTimeout = -1 },
		"driver.start_timeout":       func(s *settings) { s.Driver.StartTimeout = -1 },
		"driver.stop_timeout":        func(s *settings) { s.Driver.StopTimeout = -1 },
		"driver.monitor_timeout":     func(s *settings) { s.Driver.MonitorTimeout = -1 },
		"snapshots.kind":             func(s *settings) { s.Snapshots.Kind = "" },
		"snapshots.list":             func(s *settings) { s.Snapshots.List = nil },
		"snapshots.prepare":          func(s *settings) { s.Snapshots.Prepare = nil },
		"snapshots.snapshot":         func(s *settings) { s.Snapshots.Snapshot = []string{"/x", "{guid}"} },
		"snapshots.list_timeout":     func(s *settings) { s.Snapshots.ListTimeout = -1 },
		"snapshots.prepare_timeout":  func(s *settings) { s.Snapshots.PrepareTimeout = -1 },
		"snapshots.snapshot_timeout": func(s *settings) { s.Snapshots.SnapshotTimeout = -1 },
	} {
		s := parse(t, whole)
		change(&s)
		err := firstError(s.Driver.Validate(), s.Snapshots.Validate())
		if want := strings.TrimSuffix(key, ":") + ":"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

package command

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kind is what both configurations call this package.
const Kind = "command"

// DriverConfig is the section "driver" of the settings.
type DriverConfig struct {
	Kind    string   `yaml:"kind"`
	List    []string `yaml:"list"`
	Start   []string `yaml:"start"`
	Stop    []string `yaml:"stop"`
	Kill    []string `yaml:"kill"`    // none: Stop again
	Monitor []string `yaml:"monitor"` // none: a running VM is healthy
	// SelfStop: the VMs stop themselves at the deadline in the deadline file.
	SelfStop bool `yaml:"self_stop"`

	ListTimeout    time.Duration `yaml:"list_timeout"`
	StartTimeout   time.Duration `yaml:"start_timeout"`
	StopTimeout    time.Duration `yaml:"stop_timeout"`
	MonitorTimeout time.Duration `yaml:"monitor_timeout"`
}

// SnapshotsConfig is the section "snapshots" of the settings.
type SnapshotsConfig struct {
	Kind     string   `yaml:"kind"`
	List     []string `yaml:"list"`
	Prepare  []string `yaml:"prepare"`
	Snapshot []string `yaml:"snapshot"` // none: ErrNoSnapshot

	ListTimeout     time.Duration `yaml:"list_timeout"`
	PrepareTimeout  time.Duration `yaml:"prepare_timeout"`
	SnapshotTimeout time.Duration `yaml:"snapshot_timeout"`
}

// What is replaced inside arguments.
const (
	inVM         = "{vm}"
	inGUID       = "{guid}"
	inGeneration = "{generation}"
)

// Validate names the first key that is wrong.
func (c DriverConfig) Validate() error {
	return firstError(
		checkKind("driver.kind", c.Kind),
		checkArgs("driver.list", c.List, true),
		checkArgs("driver.start", c.Start, true, inVM, inGeneration),
		checkArgs("driver.stop", c.Stop, true, inVM),
		checkArgs("driver.kill", c.Kill, false, inVM),
		checkArgs("driver.monitor", c.Monitor, false, inVM),
		checkTimeout("driver.list_timeout", c.ListTimeout),
		checkTimeout("driver.start_timeout", c.StartTimeout),
		checkTimeout("driver.stop_timeout", c.StopTimeout),
		checkTimeout("driver.monitor_timeout", c.MonitorTimeout),
	)
}

// Validate names the first key that is wrong.
func (c SnapshotsConfig) Validate() error {
	return firstError(
		checkKind("snapshots.kind", c.Kind),
		checkArgs("snapshots.list", c.List, true),
		checkArgs("snapshots.prepare", c.Prepare, true, inVM, inGUID, inGeneration),
		checkArgs("snapshots.snapshot", c.Snapshot, false, inVM),
		checkTimeout("snapshots.list_timeout", c.ListTimeout),
		checkTimeout("snapshots.prepare_timeout", c.PrepareTimeout),
		checkTimeout("snapshots.snapshot_timeout", c.SnapshotTimeout),
	)
}

func (c DriverConfig) withDefaults() DriverConfig {
	c.ListTimeout = orDefault(c.ListTimeout, 10*time.Second)
	c.StartTimeout = orDefault(c.StartTimeout, 60*time.Second)
	c.StopTimeout = orDefault(c.StopTimeout, 30*time.Second)
	c.MonitorTimeout = orDefault(c.MonitorTimeout, 10*time.Second)
	return c
}

func (c SnapshotsConfig) withDefaults() SnapshotsConfig {
	c.ListTimeout = orDefault(c.ListTimeout, 30*time.Second)
	c.PrepareTimeout = orDefault(c.PrepareTimeout, 60*time.Second)
	c.SnapshotTimeout = orDefault(c.SnapshotTimeout, 10*time.Minute)
	return c
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkKind(key, kind string) error {
	if kind != Kind {
		return fmt.Errorf("%s: %q, want %q", key, kind, Kind)
	}
	return nil
}

// checkArgs checks a command line: a program by its absolute path, which no
// placeholder changes, and no placeholder whose value the command cannot have.
func checkArgs(key string, args []string, required bool, known ...string) error {
	if len(args) == 0 {
		if required {
			return fmt.Errorf("%s: is missing", key)
		}
		return nil
	}
	if !filepath.IsAbs(args[0]) {
		return fmt.Errorf("%s: the program %q is not an absolute path", key, args[0])
	}
	for i, arg := range args {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("%s: argument %d contains a NUL", key, i)
		}
		for _, in := range []string{inVM, inGUID, inGeneration} {
			if !strings.Contains(arg, in) {
				continue
			}
			if i == 0 {
				return fmt.Errorf("%s: the program's path contains %s", key, in)
			}
			if !slices.Contains(known, in) {
				return fmt.Errorf("%s: %s is not known there", key, in)
			}
		}
	}
	return nil
}

func checkTimeout(key string, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s: %s is negative", key, d)
	}
	return nil
}

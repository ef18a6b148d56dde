package config

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
	"github.com/hoster-ha/hoster-ha/vmctl/command"
)

// Settings are the daemon's, and what of them the other commands share. The
// names in the tags are those of the flags and of the keys in the file.
type Settings struct {
	PersistDir   string        `koanf:"persist-dir"`
	PersistURL   string        `koanf:"persist-url"`
	StateDir     string        `koanf:"state-dir"`
	NodeName     string        `koanf:"node-name"`
	Join         bool          `koanf:"join"`
	Listen       string        `koanf:"listen"`
	InsecureHTTP bool          `koanf:"insecure-http"`
	URL          string        `koanf:"url"`
	Interval     time.Duration `koanf:"interval"`
	Timeout      time.Duration `koanf:"timeout"`
	Priority     int           `koanf:"priority"`
	Role         string        `koanf:"role"`
	Mode         string        `koanf:"ha-mode"`
	Promotion    string        `koanf:"promotion"`
	Debug        bool          `koanf:"ha-debug"`
	OnStop       string        `koanf:"on-stop"`
	Watchdog     string        `koanf:"watchdog"`
	FenceAction  string        `koanf:"fence-action"`
	Accept       bool          `koanf:"accept-unproved"`
	Expect       int           `koanf:"expect-nodes"`
	Grace        time.Duration `koanf:"startup-grace"`
	PidFile      string        `koanf:"pid-file"`
	LogLevel     string        `koanf:"log-level"`
	LogFormat    string        `koanf:"log-format"`
	Config       string        `koanf:"config"`

	// Driver and Snapshots are sections of the file; nil when absent.
	Driver    *command.DriverConfig    `koanf:"-"`
	Snapshots *command.SnapshotsConfig `koanf:"-"`

	// TimingsGiven: interval or timeout was set by anybody.
	TimingsGiven bool `koanf:"-"`
	// ListenGiven: so was the address, which then must be had.
	ListenGiven bool `koanf:"-"`
}

// DefaultListen is where people and programs ask, on loopback.
const DefaultListen = "127.0.0.1:3900"

// What --watchdog takes besides the path of a device.
const (
	WatchdogAuto     = "auto"
	WatchdogOff      = "off"
	WatchdogProcess  = "process"
	WatchdogDevice   = "device"
	WatchdogRequired = "required"
)

// DefaultStateDir is the parent of the nodes' local memories.
const DefaultStateDir = "/var/lib/hoster-ha"

// openPatience is how long a store may take to be opened: looking at a dead
// mount blocks for as long as the kernel likes.
const openPatience = 10 * time.Second

// Store opens the store that the settings name.
func (s *Settings) Store() (persistence.Store, error) {
	address, err := s.StoreURL()
	if err != nil {
		return nil, err
	}
	type opened struct {
		store persistence.Store
		err   error
	}
	answer := make(chan opened, 1)
	go func() {
		store, err := stores.Open(address)
		answer <- opened{store, err}
	}()
	select {
	case o := <-answer:
		return o.store, o.err
	case <-time.After(openPatience):
		return nil, fmt.Errorf("%w: %s did not answer within %s", persistence.ErrRefused, address, openPatience)
	}
}

// StoreURL is the store's address in its canonical form.
func (s *Settings) StoreURL() (string, error) {
	switch {
	case s.PersistDir != "" && s.PersistURL != "":
		return "", fmt.Errorf("--persist-dir and --persist-url are both given; one of them names the store")
	case s.PersistDir != "":
		return stores.Normalize(s.PersistDir)
	case s.PersistURL != "":
		return stores.Normalize(s.PersistURL)
	}
	return "", fmt.Errorf("no store: give --persist-dir FOLDER or --persist-url URL")
}

// Timings are those asked for, the rest derived from them.
func (s *Settings) Timings() (lease.Timings, error) {
	return lease.NewTimings(s.Timeout, s.Interval)
}

// Validate checks the daemon's settings.
func (s *Settings) Validate() error {
	if err := persistence.CheckName(s.NodeName); err != nil {
		return fmt.Errorf("--node-name: %w", err)
	}
	if _, err := s.StoreURL(); err != nil {
		return err
	}
	if _, err := s.Timings(); err != nil {
		return fmt.Errorf("--timeout %s --interval %s: %w", s.Timeout, s.Interval, err)
	}
	for _, c := range []struct {
		flag, value string
		allowed     []string
	}{
		{"role", s.Role, []string{ledger.RoleCandidate, ledger.RoleWorker, ledger.RoleWitness}},
		{"ha-mode", s.Mode, []string{node.ModeAuto, node.ModeMaster, node.ModeStandby, node.ModeHotStandby, node.ModeHotBackup, node.ModeDisabled}},
		{"promotion", s.Promotion, []string{node.PromotionAutomatic, node.PromotionManual}},
		{"on-stop", s.OnStop, []string{"", record.LeaveFreeze, record.LeaveMove, record.LeaveStop}},
		{"fence-action", s.FenceAction, []string{node.FenceStop, node.FenceReboot, node.FenceLog}},
		{"log-level", s.LogLevel, []string{"debug", "info", "warn", "error"}},
		{"log-format", s.LogFormat, []string{"auto", "json", "console"}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return fmt.Errorf("--%s %q: one of %s", c.flag, c.value, strings.Join(slices.DeleteFunc(c.allowed, func(a string) bool { return a == "" }), ", "))
		}
	}
	if err := s.checkWatchdog(); err != nil {
		return err
	}
	if s.Expect < 0 {
		return fmt.Errorf("--expect-nodes %d: a number of nodes", s.Expect)
	}
	if s.Grace < 0 {
		return fmt.Errorf("--startup-grace %s: not before now", s.Grace)
	}
	if err := s.checkListen(); err != nil {
		return err
	}
	return s.checkSections()
}

func (s *Settings) checkWatchdog() error {
	words := []string{WatchdogAuto, WatchdogOff, WatchdogProcess, WatchdogDevice, WatchdogRequired}
	switch {
	case !slices.Contains(words, s.Watchdog) && !filepath.IsAbs(s.Watchdog):
		return fmt.Errorf("--watchdog %q: one of %s, or the path of a device", s.Watchdog, strings.Join(words, ", "))
	case s.Accept && s.FenceAction == node.FenceLog:
		return fmt.Errorf("--accept-unproved and --fence-action log: a host that is not ended cannot be taken for one that is")
	case s.Accept && s.Watchdog == WatchdogOff:
		return fmt.Errorf("--accept-unproved and --watchdog off: there is nothing to accept")
	case s.Watchdog == WatchdogRequired && s.FenceAction == node.FenceLog:
		return fmt.Errorf("--watchdog required and --fence-action log: nothing could ever start")
	}
	return nil
}

func (s *Settings) checkListen() error {
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q: %w", s.Listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && !s.InsecureHTTP {
		return fmt.Errorf("--listen %s is not loopback, and this version speaks plain HTTP only: give --insecure-http if you mean it", s.Listen)
	}
	return nil
}

func (s *Settings) checkSections() error {
	if s.Driver != nil {
		if err := s.Driver.Validate(); err != nil {
			return err
		}
		if s.Role == ledger.RoleWitness {
			return fmt.Errorf("driver: a witness runs no VMs")
		}
	}
	if s.Snapshots != nil {
		if s.Driver == nil {
			return fmt.Errorf("snapshots: there is no driver")
		}
		return s.Snapshots.Validate()
	}
	return nil
}

// Stop is what becomes of the VMs when the daemon is told to stop: as set, or
// else moved where they could not outlive it, and left running elsewhere.
func (s *Settings) Stop() string {
	switch {
	case s.OnStop != "":
		return s.OnStop
	case s.Driver != nil && s.Driver.SelfStop:
		return record.LeaveMove
	}
	return record.LeaveFreeze
}

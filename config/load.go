package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/vmctl/command"
)

// StoreFlags are the flags that all commands share which work on a cluster.
func StoreFlags(f *pflag.FlagSet) {
	f.String("persist-dir", "", "shared `folder` of the cluster")
	f.String("persist-url", "", "address of the shared store: a path, s3://BUCKET/PREFIX, minio://HOST:PORT/BUCKET/PREFIX (docs/stores.md)")
	f.String("config", "", "YAML `file` with the same names as the flags")
}

// HostFlags are the flags of what runs on a host beside its daemon, and finds it there.
func HostFlags(f *pflag.FlagSet) {
	f.String("state-dir", "", "local memory of this node (default "+DefaultStateDir+"/NODE)")
	f.String("node-name", "", "name of this node (default: host name)")
}

// DaemonFlags are the flags of the daemon besides.
func DaemonFlags(f *pflag.FlagSet) {
	HostFlags(f)
	f.Bool("join", false, "there must be a cluster already: found none")
	f.String("listen", DefaultListen, "HTTP address for people and programs")
	f.Bool("insecure-http", false, "allow plain HTTP on an address that is not loopback")
	f.String("url", "", "where others reach --listen (default: made from it)")
	f.Duration("interval", lease.DefaultInterval, "between heartbeats")
	f.Duration("timeout", lease.DefaultTimeout, "takeover timeout: silence that ends a mastership")
	f.Int("priority", 0, "higher ones are promoted first")
	f.String("role", ledger.RoleCandidate, "candidate, worker (never master) or witness (runs no VMs)")
	f.String("ha-mode", node.ModeAuto, "auto, master, standby, hot-standby, hot-backup or disabled")
	f.String("promotion", node.PromotionAutomatic, "automatic, or manual: only an operator promotes this node")
	f.Bool("ha-debug", false, "found a debug cluster: everything is logged and nothing done")
	f.String("on-stop", "", "what becomes of the VMs at a graceful stop: freeze (they run on), move or stop (default: move for VMs that stop themselves, else freeze)")
	f.String("watchdog", WatchdogAuto, "who ends this host if it cannot stop its VMs in time: auto (the kernel's watchdog device, where it proves that), off, process (no device), device (one is needed), a device's path, or required (nothing starts without proof)")
	f.String("fence-action", node.FenceStop, "at a deadline that passes: stop-then-reboot, reboot (VMs are not stopped before), or log (it is only told)")
	f.Bool("accept-unproved", false, "take a watchdog that proves nothing for one that does: you vouch for this host")
	f.Int("expect-nodes", 0, "live nodes that end the start-up grace early")
	f.Duration("startup-grace", node.DefaultGrace, "time for members that were not seen yet to start, before they count as dead")
	f.String("pid-file", "", "write the process id to this `file`")
	f.String("log-level", "info", "debug, info, warn or error")
	f.String("log-format", "auto", "json, console, or auto: console on a terminal")
}

// envPrefix begins the names of environment variables that are settings.
const envPrefix = "HOSTER_HA_"

// sections of the file that are no flags.
const (
	sectionDriver    = "driver"
	sectionSnapshots = "snapshots"
)

// Load puts the settings together: defaults, file, environment, flags. Flags
// that the set does not have keep their defaults.
func Load(flags *pflag.FlagSet) (*Settings, error) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	StoreFlags(all)
	DaemonFlags(all)

	path := os.Getenv(envPrefix + "CONFIG")
	if f := flags.Lookup("config"); f != nil && f.Changed {
		path = f.Value.String()
	}
	k := koanf.New(".")
	if path != "" {
		if err := loadFile(k, path, all); err != nil {
			return nil, err
		}
	}
	given := func(name string) bool {
		f := flags.Lookup(name)
		return k.Exists(name) || (f != nil && f.Changed)
	}
	err := k.Load(env.Provider(".", env.Opt{
		Prefix: envPrefix,
		TransformFunc: func(key, value string) (string, any) {
			name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(key, envPrefix)), "_", "-")
			if all.Lookup(name) == nil {
				return "", nil // of another program, or told to the commands we run
			}
			return name, value
		},
	}), nil)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	timings, listen := given("interval") || given("timeout"), given("listen")
	// Defaults of flags that this command does not have, then its own flags.
	for _, set := range []*pflag.FlagSet{all, flags} {
		if err := k.Load(posflag.Provider(set, ".", k), nil); err != nil {
			return nil, fmt.Errorf("flags: %w", err)
		}
	}
	var s Settings
	if err := k.UnmarshalWithConf("", &s, koanf.UnmarshalConf{DecoderConfig: decoder(&s, false)}); err != nil {
		_, culprit, _ := strings.Cut(strings.Join(strings.Fields(err.Error()), " "), "error(s): ")
		return nil, fmt.Errorf("settings: %s", culprit)
	}
	s.Config, s.TimingsGiven, s.ListenGiven = path, timings, listen
	// A store named on the command line is the one, whatever else is set.
	dir, address := flags.Changed("persist-dir"), flags.Changed("persist-url")
	switch {
	case dir && !address:
		s.PersistURL = ""
	case address && !dir:
		s.PersistDir = ""
	}
	if err := sections(k, &s); err != nil {
		return nil, err
	}
	return &s, s.defaults()
}

func loadFile(k *koanf.Koanf, path string, known *pflag.FlagSet) error {
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--config %s: there is no such file", path)
		}
		return fmt.Errorf("--config %s: %w", path, err)
	}
	for key := range k.Raw() {
		if k.Get(key) == nil {
			return fmt.Errorf("--config %s: %s has no value", path, key)
		}
		if key != sectionDriver && key != sectionSnapshots && known.Lookup(key) == nil {
			return fmt.Errorf("--config %s: unknown key %q", path, key)
		}
	}
	return nil
}

// sections decodes the parts of the file that are not flags; an unknown key in
// them is an error.
func sections(k *koanf.Koanf, s *Settings) error {
	decode := func(name string, into any) error {
		var seen mapstructure.Metadata
		d := decoder(into, true)
		d.Metadata = &seen
		if err := k.UnmarshalWithConf(name, into, koanf.UnmarshalConf{DecoderConfig: d}); err != nil {
			return fmt.Errorf("--config %s: %s: %s", s.Config, name, strings.Join(strings.Fields(err.Error()), " "))
		}
		if len(seen.Unused) > 0 {
			return fmt.Errorf("--config %s: unknown key %q", s.Config, name+"."+seen.Unused[0])
		}
		return nil
	}
	if k.Exists(sectionDriver) {
		s.Driver = &command.DriverConfig{}
		if err := decode(sectionDriver, s.Driver); err != nil {
			return err
		}
	}
	if k.Exists(sectionSnapshots) {
		s.Snapshots = &command.SnapshotsConfig{}
		return decode(sectionSnapshots, s.Snapshots)
	}
	return nil
}

func decoder(into any, strict bool) *mapstructure.DecoderConfig {
	tag := "koanf"
	if strict {
		tag = "yaml"
	}
	return &mapstructure.DecoderConfig{
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			exact, mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToBasicTypeHookFunc(),
		),
		Result: into, TagName: tag,
	}
}

// exact refuses what would be rewritten on the way: a duration without a unit, a
// number that is not whole or too large, a value that is not there.
func exact(from, to reflect.Type, value any) (any, error) {
	switch {
	case value == nil:
		return nil, errors.New("it has no value")
	case to == reflect.TypeFor[time.Duration]():
		if text, ok := value.(string); from != to && (!ok || text == "") {
			return nil, fmt.Errorf("%v: a duration has a unit, such as 30s", value)
		}
	case to.Kind() == reflect.Int:
		if from.Kind() != reflect.Int && from.Kind() != reflect.String {
			return nil, fmt.Errorf("%v: a whole number", value)
		}
	case to.Kind() == reflect.String && from.Kind() != reflect.String:
		return nil, fmt.Errorf("%v: a text; quote it", value)
	}
	return value, nil
}

func (s *Settings) defaults() error {
	if s.NodeName == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--node-name: the host has no name: %w", err)
		}
		s.NodeName = host
	}
	if s.StateDir == "" {
		s.StateDir = filepath.Join(DefaultStateDir, s.NodeName)
	}
	return nil
}

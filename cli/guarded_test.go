package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/command"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// machine is a host of which nothing is opened: whoever tries is told so by the test.
func machine(t *testing.T, first string, facts watchdog.Host) host {
	return host{
		reset: func() (func(), string) {
			t.Error("a daemon has opened what a reset needs")
			return func() { t.Error("the host was reset") }, ""
		},
		device: func(path string, _ time.Duration) (watchdog.Device, error) {
			t.Errorf("a daemon has opened %s", path)
			return nil, os.ErrPermission
		},
		first: first, facts: func() watchdog.Host { return facts },
		upgrade: func(*watchdog.Keeper, string) (watchdog.State, error) {
			t.Error("a watchdog was upgraded")
			return watchdog.State{}, os.ErrInvalid
		},
	}
}

// daemonSettings are those of a daemon that was started with these flags.
func daemonSettings(t *testing.T, flags ...string) *config.Settings {
	t.Helper()
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.StoreFlags(set)
	config.DaemonFlags(set)
	must(t, set.Parse(append([]string{"--persist-dir", t.TempDir(), "--state-dir", t.TempDir(), "--node-name", "a"}, flags...)))
	s, err := config.Load(set)
	must(t, err)
	must(t, s.Validate())
	s.Driver = &command.DriverConfig{}
	return s
}

// daemonConfig is what the daemon makes of them before it has a watchdog.
func daemonConfig(t *testing.T, log io.Writer) *node.Config {
	t.Helper()
	timings, err := lease.NewTimings(lease.DefaultTimeout, lease.DefaultInterval)
	must(t, err)
	return &node.Config{Driver: struct{ vmctl.Driver }{}, Boot: "this boot", Timings: timings, Log: zerolog.New(log)}
}

// What the settings and the host come to: which watchdog, and what people are told.
func TestGuards(t *testing.T) {
	const here = os.DevNull // a device, which nothing here opens
	absent := filepath.Join(t.TempDir(), "watchdog0")
	guest, sleeper := watchdog.Host{Guest: "KVM"}, watchdog.Host{Suspends: "mem"}
	for name, c := range map[string]struct {
		flags  string
		first  string
		host   watchdog.Host
		change func(cfg *node.Config, s *config.Settings)

		device   string // "": there is no watchdog
		why      string // of WhyUnproved; "": there is none
		required bool
		err      string
	}{
		"hardware":           {first: here, device: here},
		"hardware, accepted": {flags: "--accept-unproved", first: here, device: here},
		"no device":          {first: absent, why: "there is no watchdog device that may be opened: stat " + absent},
		"no device, accepted": {
			flags: "--accept-unproved", first: absent, device: deviceNone,
		},
		"no device of the platform": {why: "no watchdog device may be opened from here"},
		"a guest":                   {first: here, host: guest, why: "this host is a guest, which can be paused: KVM; or, if you vouch for this host: --accept-unproved"},
		"a guest, accepted":         {flags: "--accept-unproved", first: here, host: guest, device: here},
		"it can be suspended":       {first: here, host: sleeper, why: "can be suspended"},
		"all that is missing":       {first: absent, host: guest, why: "no such file or directory; this host is a guest"},
		"off":                       {flags: "--watchdog off", first: here, why: "--watchdog off"},
		"off, without a device":     {flags: "--watchdog off", first: absent, host: guest, why: "--watchdog off"},

		"device":                    {flags: "--watchdog device", first: here, device: here},
		"device, missing":           {flags: "--watchdog device", first: absent, err: "--watchdog device: stat " + absent},
		"device, missing, accepted": {flags: "--watchdog device --accept-unproved", first: absent, err: "--watchdog device: stat " + absent},
		"device, missing, logged":   {flags: "--watchdog device --fence-action log", first: absent, err: "--watchdog device: stat " + absent},
		"device, of a guest":        {flags: "--watchdog device", first: here, host: guest, why: "is a guest"},
		"a path":                    {flags: "--watchdog " + here, first: absent, device: here},
		"a path, missing":           {flags: "--watchdog " + absent, first: here, err: "--watchdog " + absent + ": stat"},
		"a path, no device":         {flags: "--watchdog " + os.TempDir(), first: here, err: "is no device"},
		"required":                  {flags: "--watchdog required", first: here, device: here, required: true},
		"required, missing":         {flags: "--watchdog required", first: absent, required: true, err: "--watchdog required: stat " + absent},
		"required, of a guest":      {flags: "--watchdog required", first: here, host: guest, required: true, why: "is a guest"},

		"process":           {flags: "--watchdog process", first: here, why: "a process alone ends no host whose kernel hangs; or, if you vouch"},
		"process, accepted": {flags: "--watchdog process --accept-unproved", first: here, host: guest, device: deviceNone},

		"log":                {flags: "--fence-action log", first: here, device: deviceNone, why: "--fence-action log: nothing is done at a deadline"},
		"log, nothing there": {flags: "--fence-action log", first: absent, host: guest, device: deviceNone, why: "--fence-action log"},
		"log and off":        {flags: "--fence-action log --watchdog off", first: here, why: "--watchdog off"},
		"reboot":             {flags: "--fence-action reboot", first: here, device: here},

		"VMs that stop themselves": {first: here, change: selfStop},
		"and a device":             {flags: "--watchdog device", first: here, change: selfStop, device: here},
		"and a path":               {flags: "--watchdog " + here, first: absent, change: selfStop, device: here},
		"and proof is required":    {flags: "--watchdog required", first: absent, host: guest, change: selfStop, required: true},
		"and off":                  {flags: "--watchdog off", first: absent, change: selfStop},
		"and a device, of a guest": {flags: "--watchdog device", first: here, host: guest, change: selfStop},
		"and a device, and log":    {flags: "--watchdog device --fence-action log", first: here, change: selfStop, device: deviceNone},

		"no driver":    {flags: "--watchdog required", first: absent, change: func(cfg *node.Config, s *config.Settings) { cfg.Driver, s.Driver = nil, nil }},
		"a witness":    {flags: "--role witness", first: here},
		"it runs none": {flags: "--ha-mode disabled", first: here},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s, cfg := daemonSettings(t, strings.Fields(c.flags)...), daemonConfig(t, &log)
			if c.change != nil {
				c.change(cfg, s)
			}
			a := &app{host: func() host { return machine(t, c.first, c.host) }}
			device, err := a.guards(cfg, s)
			if err != nil || c.err != "" {
				if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v, want %q", err, c.err)
				}
				return
			}
			if device != c.device || cfg.ProofRequired != c.required {
				t.Errorf("device %q, required %t, want %q, %t", device, cfg.ProofRequired, c.device, c.required)
			}
			if (cfg.WhyUnproved == "") != (c.why == "") || !strings.Contains(cfg.WhyUnproved, c.why) {
				t.Errorf("unproved: %q, want %q", cfg.WhyUnproved, c.why)
			}
			if told := strings.Contains(log.String(), "proves nothing"); told != (c.why != "") {
				t.Errorf("told: %s", log.String())
			}
			// The whole of it agrees.
			whole := daemonConfig(t, io.Discard)
			whole.Driver = cfg.Driver
			release, err := a.guarded(t.Context(), whole, s)
			must(t, err)
			defer release()
			if (whole.Guard != nil) != (c.device != "") || whole.WhyUnproved != cfg.WhyUnproved || whole.ProofRequired != cfg.ProofRequired {
				t.Errorf("%+v", whole)
			}
			if whole.Guard != nil && whole.Guard.Action != s.FenceAction {
				t.Errorf("the action is %s", whole.Guard.Action)
			}
		})
	}
}

func selfStop(_ *node.Config, s *config.Settings) { s.Driver.SelfStop = true }

// What the watchdog answers proves by what is known of the host, or as the operator says.
func TestGuardedProof(t *testing.T) {
	const now, most = time.Hour, 5 * time.Second
	proves := watchdog.State{
		Armed: true, Deadline: now + time.Second, Action: watchdog.ActionReboot, Ticked: now,
		Device: &watchdog.Info{Path: "/dev/watchdog0", Timeout: most},
	}
	soft, logs := proves, proves
	soft.Device, logs.Action = nil, watchdog.ActionLog
	for name, c := range map[string]struct {
		flags string
		host  watchdog.Host
		state watchdog.State
		why   string
	}{
		"it proves":               {state: proves},
		"a process does not":      {state: soft, why: "no watchdog device is open"},
		"unless it is accepted":   {flags: "--accept-unproved", state: soft},
		"as on a guest":           {flags: "--accept-unproved", host: watchdog.Host{Guest: "KVM"}, state: soft},
		"but not one that logs":   {flags: "--accept-unproved", state: logs, why: "the fence action is log"},
		"nor one that is not set": {flags: "--accept-unproved", state: watchdog.State{Action: watchdog.ActionReboot, Ticked: now}, why: "not armed"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := daemonConfig(t, io.Discard)
			a := &app{host: func() host { return machine(t, os.DevNull, c.host) }}
			release, err := a.guarded(t.Context(), cfg, daemonSettings(t, strings.Fields(c.flags)...))
			must(t, err)
			defer release()
			if why := cfg.Guard.Unproved(c.state, most, now); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
				t.Errorf("%q, want %q", why, c.why)
			}
		})
	}
}

// The keeper starts a watchdog that is what the settings ask for, from wherever the daemon
// was started, and whatever its environment names as settings.
func TestGuardedStartsOne(t *testing.T) {
	record := filepath.Join(t.TempDir(), "reset")
	t.Setenv(watchdogEnv, record)
	t.Setenv("HOSTER_HA_CONFIG", "gone.yaml")
	t.Setenv("HOSTER_HA_FENCE_ACTION", node.FenceLog)
	t.Chdir(t.TempDir())
	must(t, os.Mkdir("state", 0o700))
	s := daemonSettings(t, "--config=", "--watchdog", "process", "--accept-unproved", "--state-dir", "state", "--fence-action", node.FenceReboot)
	cfg := daemonConfig(t, io.Discard)
	a := &app{host: func() host { return machine(t, "", watchdog.Host{}) }}
	release, err := a.guarded(t.Context(), cfg, s)
	must(t, err)
	defer release()
	var st watchdog.State
	end := time.Now().Add(30 * time.Second)
	for {
		if st, err = cfg.Guard.State(); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond)
	}
	defer func() {
		p, err := os.FindProcess(st.PID)
		must(t, err)
		must(t, p.Signal(syscall.SIGTERM))
		for p.Signal(syscall.Signal(0)) == nil { // the keeper waits for it
			<-time.After(5 * time.Millisecond)
		}
	}()
	if st.PID == os.Getpid() || st.Version != Version || st.Action != watchdog.ActionReboot || st.Armed {
		t.Errorf("%+v", st)
	}
	// All of it is where the settings say.
	for _, file := range []string{socketFile, logFile} {
		if _, err := os.Stat(filepath.Join("state", file)); err != nil {
			t.Error(err)
		}
	}
	st2, err := cfg.Guard.Extend(boottime.Now()+time.Minute, time.Second, "i1")
	must(t, err)
	if why := cfg.Guard.Unproved(st2, time.Second, boottime.Now()); why != "" {
		t.Error(why)
	}
	_, err = cfg.Guard.Disarm()
	must(t, err)
}

// A folder in which no watchdog could answer is refused at once.
func TestGuardedWhereNoneCanAnswer(t *testing.T) {
	s := daemonSettings(t)
	s.StateDir = filepath.Join(s.StateDir, strings.Repeat("x", 120))
	a := &app{host: func() host { return machine(t, os.DevNull, watchdog.Host{}) }}
	_, err := a.guarded(t.Context(), daemonConfig(t, io.Discard), s)
	if err == nil || !strings.HasPrefix(err.Error(), "--state-dir: ") || !strings.Contains(err.Error(), "characters at most") {
		t.Errorf("%v", err)
	}
}

package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/config"
)

// What is said of the watchdog is refused where it contradicts itself, by one line that
// names the flag, whether the flag, the environment or the file has said it.
func TestWatchdogSettings(t *testing.T) {
	for name, c := range map[string]struct {
		given map[string]string
		err   string // its beginning; "": they are accepted
	}{
		"nothing":          {},
		"auto":             {given: map[string]string{"watchdog": "auto"}},
		"off":              {given: map[string]string{"watchdog": "off"}},
		"process":          {given: map[string]string{"watchdog": "process"}},
		"device":           {given: map[string]string{"watchdog": "device"}},
		"required":         {given: map[string]string{"watchdog": "required"}},
		"a path":           {given: map[string]string{"watchdog": "/dev/watchdog1"}},
		"no word":          {given: map[string]string{"watchdog": "on"}, err: `--watchdog "on": one of auto, off, process, device, required, or the path of a device`},
		"a relative path":  {given: map[string]string{"watchdog": "watchdog1"}, err: `--watchdog "watchdog1": one of`},
		"an empty word":    {given: map[string]string{"watchdog": ""}, err: `--watchdog "": one of`},
		"another case":     {given: map[string]string{"watchdog": "Auto"}, err: `--watchdog "Auto": one of`},
		"stop-then-reboot": {given: map[string]string{"fence-action": "stop-then-reboot"}},
		"reboot":           {given: map[string]string{"fence-action": "reboot"}},
		"log":              {given: map[string]string{"fence-action": "log"}},
		"no action":        {given: map[string]string{"fence-action": "halt"}, err: `--fence-action "halt": one of stop-then-reboot, reboot, log`},
		"an empty action":  {given: map[string]string{"fence-action": ""}, err: `--fence-action "": one of`},

		"accepted":               {given: map[string]string{"accept-unproved": "true"}},
		"accepted, a process":    {given: map[string]string{"accept-unproved": "true", "watchdog": "process"}},
		"accepted and required":  {given: map[string]string{"accept-unproved": "true", "watchdog": "required"}},
		"accepted, and log":      {given: map[string]string{"accept-unproved": "true", "fence-action": "log"}, err: "--accept-unproved and --fence-action log: "},
		"accepted, and off":      {given: map[string]string{"accept-unproved": "true", "watchdog": "off"}, err: "--accept-unproved and --watchdog off: "},
		"not accepted, and log":  {given: map[string]string{"accept-unproved": "false", "fence-action": "log"}},
		"not accepted, and off":  {given: map[string]string{"accept-unproved": "false", "watchdog": "off"}},
		"required, and log":      {given: map[string]string{"watchdog": "required", "fence-action": "log"}, err: "--watchdog required and --fence-action log: "},
		"required, and reboot":   {given: map[string]string{"watchdog": "required", "fence-action": "reboot"}},
		"a device, and log":      {given: map[string]string{"watchdog": "device", "fence-action": "log"}},
		"off, and log":           {given: map[string]string{"watchdog": "off", "fence-action": "log"}},
		"a word in place of yes": {given: map[string]string{"accept-unproved": "perhaps"}, err: "settings: "},
	} {
		t.Run(name, func(t *testing.T) {
			for by, settings := range map[string]func(t *testing.T, given map[string]string) (*config.Settings, error){
				"flags": byFlags, "environment": byEnvironment, "file": byFile,
			} {
				s, err := settings(t, c.given)
				if err == nil {
					err = s.Validate()
				}
				switch {
				case (err == nil) != (c.err == ""):
					t.Errorf("by %s: %v, want %q", by, err, c.err)
				case err == nil:
					is := map[string]string{"watchdog": s.Watchdog, "fence-action": s.FenceAction, "accept-unproved": map[bool]string{true: "true", false: "false"}[s.Accept]}
					for name, want := range map[string]string{"watchdog": "auto", "fence-action": "stop-then-reboot", "accept-unproved": "false"} {
						if given, ok := c.given[name]; ok {
							want = given
						}
						if is[name] != want {
							t.Errorf("by %s: %s is %q, want %q", by, name, is[name], want)
						}
					}
				// A flag that is no truth is refused by the set of flags itself.
				case !strings.HasPrefix(err.Error(), c.err) && (by != "flags" || c.err != "settings: "), strings.Contains(err.Error(), "\n"):
					t.Errorf("by %s: %v, want %q", by, err, c.err)
				}
			}
		})
	}
}

// store names one, without which nothing is valid.
const store = "/srv/ha"

func byFlags(t *testing.T, given map[string]string) (*config.Settings, error) {
	t.Helper()
	flags := daemonFlags()
	if err := flags.Set("persist-dir", store); err != nil {
		t.Fatal(err)
	}
	for name, value := range given {
		if err := flags.Set(name, value); err != nil {
			return nil, err
		}
	}
	return config.Load(flags)
}

func byEnvironment(t *testing.T, given map[string]string) (*config.Settings, error) {
	t.Helper()
	t.Setenv("HOSTER_HA_PERSIST_DIR", store)
	for name, value := range given {
		key := "HOSTER_HA_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_")
		t.Setenv(key, value)
		defer os.Unsetenv(key) // before the next way
	}
	defer os.Unsetenv("HOSTER_HA_PERSIST_DIR")
	return config.Load(daemonFlags())
}

// byFile writes the values without quotes where a person would: "off" is a word there, and
// no truth.
func byFile(t *testing.T, given map[string]string) (*config.Settings, error) {
	t.Helper()
	text := "persist-dir: " + store + "\n"
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		if value == "" {
			value = `""`
		}
		text += name + ": " + value + "\n"
	}
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(t, path)
}

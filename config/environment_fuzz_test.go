package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/hoster-ha/hoster-ha/config"
)

// FuzzSources gives one setting by a flag, by the environment and by a text in
// the file: the same value means the same in all of them, or is refused in all
// of them, and a flag goes before the environment, that before the file.
func FuzzSources(f *testing.F) {
	names := settingNames()
	for i := range names {
		for _, value := range []string{"", "7", "0x7", "-1", "1_000", "007", "1e3", "true", "T", "yes", "30s", "1h1s", "-0", ".5s", "a", "/a b", "\u0660", "{a: b}", "~", " 7", "9223372036854775808"} {
			f.Add(byte(i), value)
		}
	}
	path := filepath.Join(f.TempDir(), "settings.yaml")
	f.Fuzz(func(t *testing.T, which byte, value string) {
		name := names[int(which)%len(names)]
		if strings.ContainsRune(value, 0) {
			return // no environment and no command line can hold it
		}
		byFlag, flagErr := sources(t, "", name, nil, &value)
		byEnv, envErr := sources(t, "", name, &value, nil)
		if (flagErr == nil) != (envErr == nil) {
			t.Fatalf("%s %q: by the flag %v, by the environment %v", name, value, flagErr, envErr)
		}
		if flagErr == nil && !cmp.Equal(byFlag, byEnv) {
			t.Fatalf("%s %q: by the environment it is otherwise: %s", name, value, cmp.Diff(byFlag, byEnv))
		}
		if other := "never"; flagErr == nil {
			if s, err := sources(t, "", name, &other, &value); err != nil || !cmp.Equal(byFlag, s) {
				t.Errorf("%s %q: the environment goes before the flag: %v, %s", name, value, err, cmp.Diff(byFlag, s))
			}
		}
		text, err := yaml.Marshal(map[string]any{name: value})
		var back map[string]any
		if err != nil || yaml.Unmarshal(text, &back) != nil || back[name] != value {
			return // not every text goes into a file
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		byFile, fileErr := sources(t, path, name, nil, nil)
		if (flagErr == nil) != (fileErr == nil) {
			t.Fatalf("%s %q: by the flag %v, in the file %v", name, value, flagErr, fileErr)
		}
		if flagErr == nil && !cmp.Equal(byFlag, byFile, cmpopts.IgnoreFields(config.Settings{}, "Config")) {
			t.Fatalf("%s %q: in the file it is otherwise: %s", name, value, cmp.Diff(byFlag, byFile))
		}
	})
}

// settingNames are those of all settings but the file's own.
func settingNames() []string {
	flags := daemonFlags()
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" {
			names = append(names, f.Name)
		}
	})
	return names
}

// sources loads one setting from the file, the environment and the command line,
// as far as they say anything.
func sources(t *testing.T, path, name string, environment, flag *string) (*config.Settings, error) {
	t.Helper()
	flags := daemonFlags()
	if path != "" {
		if err := flags.Set("config", path); err != nil {
			t.Fatal(err)
		}
	}
	if flag != nil {
		if err := flags.Set(name, *flag); err != nil {
			return nil, err
		}
	}
	key := "HOSTER_HA_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	if environment != nil {
		t.Setenv(key, *environment)
	} else {
		os.Unsetenv(key)
	}
	s, err := config.Load(flags)
	os.Unsetenv(key)
	return s, err
}

package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/hoster-ha/hoster-ha/config"
)

// Each setting of the daemon is in the operator's table, and its words are.
func TestSettingsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	_, section, found := strings.Cut(string(text), "\n## Settings\n")
	if !found {
		t.Fatal("there is no such section")
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.StoreFlags(flags)
	config.DaemonFlags(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(section, "--"+f.Name) {
			t.Errorf("--%s is not described", f.Name)
		}
	})
	for _, word := range []string{config.WatchdogAuto, config.WatchdogOff, config.WatchdogProcess, config.WatchdogDevice, config.WatchdogRequired} {
		if !strings.Contains(section, "`"+word+"`") {
			t.Errorf("--watchdog %s is not described", word)
		}
	}
}

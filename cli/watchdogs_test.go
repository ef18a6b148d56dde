package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// goesOn checks that a daemon with these settings goes on beside what runs, or why not.
func goesOn(t *testing.T, state, text string, flags ...string) {
	t.Helper()
	a := &app{host: func() host { return machine(t, os.DevNull, watchdog.Host{}) }}
	release, err := a.guarded(t.Context(), daemonConfig(t, io.Discard), daemonSettings(t, append(flags, "--state-dir", state)...))
	if err == nil {
		release()
	}
	if (err == nil) != (text == "") || (err != nil && (!strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n"))) {
		t.Errorf("%q: %v, want %q", flags, err, text)
	}
}

// A watchdog that runs already and would do something else than is asked for is not used.
func TestGuardedByAnotherAction(t *testing.T) {
	t.Parallel()
	for _, action := range []string{node.FenceStop, node.FenceLog} {
		state := t.TempDir()
		g := guard(t, "--state-dir", state, "--fence-action", action)
		g.dial(filepath.Join(state, socketFile))
		asked := map[string]string{node.FenceStop: "", node.FenceReboot: "", node.FenceLog: "--fence-action log: the watchdog that runs"}
		if action == node.FenceLog {
			asked = map[string]string{node.FenceStop: "has another (log)", node.FenceReboot: "--fence-action reboot: the watchdog that runs", node.FenceLog: ""}
		}
		for other, text := range asked {
			goesOn(t, state, text, "--fence-action", other)
		}
	}
}

// One that is armed is not left to itself by settings that know of none.
func TestGuardedNoMore(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	g := guard(t, "--state-dir", state, "--device", deviceNone)
	c := g.dial(filepath.Join(state, socketFile))
	goesOn(t, state, "", "--watchdog", "off")
	_, err := c.Extend(boottime.Now()+time.Minute, time.Second, "i1")
	must(t, err)
	goesOn(t, state, "is armed by an earlier process", "--watchdog", "off")
	goesOn(t, state, "is armed by an earlier process", "--role", "witness")
	goesOn(t, state, "", "--watchdog", "device")
	_, err = c.Disarm()
	must(t, err)
	goesOn(t, state, "", "--watchdog", "off")

	// One that would do nothing may be left.
	state = t.TempDir()
	g = guard(t, "--state-dir", state, "--fence-action", node.FenceLog)
	c = g.dial(filepath.Join(state, socketFile))
	_, err = c.Extend(boottime.Now()+time.Minute, 0, "i1")
	must(t, err)
	goesOn(t, state, "", "--watchdog", "off")
	_, err = c.Disarm()
	must(t, err)
}

// A watchdog of another version is replaced by this program, and nothing waits for that;
// one of this version is left alone.
func TestGuardedByAnotherVersion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		version string
		err     error
		log     string // what comes of it
	}{
		"the same":          {version: Version},
		"replaced":          {version: "0.0.1", log: `"level":"info","from":"0.0.1","to":"9.9.9"`},
		"it cannot be done": {version: "0.0.1", err: errors.New("it may be written by others"), log: `"level":"warn","error":"it may be written by others","its":"0.0.1"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := t.TempDir()
			g := guardAs(t, c.version, "--state-dir", state)
			g.dial(filepath.Join(state, socketFile))
			asked, goes := make(chan string, 2), make(chan struct{})
			h := machine(t, os.DevNull, watchdog.Host{})
			h.upgrade = func(k *watchdog.Keeper, path string) (watchdog.State, error) {
				// The daemon has its watchdog meanwhile.
				if s, err := k.State(); err != nil || s.Version != c.version {
					t.Errorf("%+v, %v", s, err)
				}
				asked <- path
				<-goes
				return watchdog.State{Version: "9.9.9"}, c.err
			}
			var log bytes.Buffer
			cfg := daemonConfig(t, &log)
			release, err := (&app{host: func() host { return h }}).guarded(t.Context(), cfg, daemonSettings(t, "--state-dir", state))
			must(t, err) // and it has not waited
			if c.log == "" {
				close(goes)
				release()
				if len(asked) > 0 || log.Len() > 0 {
					t.Errorf("asked %d times: %s", len(asked), log.String())
				}
				return
			}
			exe, err := os.Executable()
			must(t, err)
			if path := <-asked; path != exe {
				t.Errorf("replaced by %s", path)
			}
			close(goes)
			release()
			if len(asked) > 0 || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), c.log) {
				t.Errorf("asked %d times more: %s", len(asked), log.String())
			}
		})
	}
}

// Why the host was ended before this boot is told once; what is of this boot is not over.
func TestTellFence(t *testing.T) {
	t.Parallel()
	good := `{"boot":"before","time":"2026-01-02T03:04:05Z","written":2,"handed":1,"deadline":3,"by":"i1","action":"reboot","text":"no renewal"}`
	for name, c := range map[string]struct {
		file, text string
		aside      bool
	}{
		"none":                {},
		"of another boot":     {file: good, text: "this host was ended by its watchdog, or went down just before that: no renewal", aside: true},
		"of one that logs":    {file: strings.Replace(good, `"reboot"`, `"log"`, 1), text: "but for --fence-action log", aside: true},
		"of this boot":        {file: strings.Replace(good, "before", "this boot", 1)},
		"damaged":             {file: good[:40], text: "why the host was ended last cannot be read"},
		"damaged, no content": {file: " ", text: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), fenceFile)
			if c.file != "" {
				must(t, os.WriteFile(path, []byte(c.file), 0o600))
			}
			var log bytes.Buffer
			tellFence(path, "this boot", zerolog.New(&log))
			if told := log.String(); (told == "") != (c.text == "") || !strings.Contains(told, c.text) || strings.Count(told, `"level":"warn"`) > 1 {
				t.Errorf("%s", told)
			}
			_, err := os.Stat(path)
			kept, told := os.ReadFile(path + ".told")
			if (err == nil) != (c.file != "" && !c.aside) || (told == nil) != c.aside || (c.aside && string(kept) != c.file) {
				t.Errorf("%v, set aside: %q, %v", err, kept, told)
			}
			if c.aside {
				log.Reset()
				tellFence(path, "this boot", zerolog.New(&log))
				if log.Len() > 0 {
					t.Errorf("told again: %s", log.String())
				}
			}
		})
	}
}

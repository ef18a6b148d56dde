package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/doctor"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// What is said of a host, from what can be seen without opening anything.
func TestDoctorOfTheHost(t *testing.T) {
	const here = os.DevNull
	absent := filepath.Join(t.TempDir(), "watchdog0")
	const waits = "fail over only by its own word or an operator's"
	for name, c := range map[string]struct {
		flags   string
		first   string
		host    watchdog.Host
		timeout string
		change  func(cfg *node.Config, s *config.Settings)
		verdict string
		text    []string
	}{
		"it may prove":       {first: here, verdict: doctor.OK, text: []string{here + " may be opened", "once it is armed"}},
		"a path":             {flags: "--watchdog " + here, first: absent, verdict: doctor.OK, text: []string{here}},
		"no device":          {first: absent, verdict: doctor.Warning, text: []string{absent + ": no such file", waits}},
		"a guest":            {first: here, host: watchdog.Host{Guest: "KVM"}, verdict: doctor.Warning, text: []string{"is a guest, which can be paused: KVM", waits}},
		"suspend":            {first: here, host: watchdog.Host{Suspends: "mem"}, verdict: doctor.Warning, text: []string{"can be suspended: mem", waits}},
		"all of it":          {first: absent, host: watchdog.Host{Guest: "KVM"}, verdict: doctor.Warning, text: []string{absent, "KVM", waits}},
		"process":            {flags: "--watchdog process", first: here, verdict: doctor.Warning, text: []string{"a process alone", waits}},
		"log":                {flags: "--fence-action log", first: here, verdict: doctor.Warning, text: []string{"--fence-action log", waits}},
		"off":                {flags: "--watchdog off", first: here, verdict: doctor.Warning, text: []string{"--watchdog off", waits}},
		"accepted":           {flags: "--accept-unproved", first: absent, verdict: doctor.Warning, text: []string{absent, "taken for a proof all the same, by --accept-unproved"}},
		"device, missing":    {flags: "--watchdog device", first: absent, verdict: doctor.Warning, text: []string{"the daemon will not start: --watchdog device: "}},
		"required":           {flags: "--watchdog required", first: here, host: watchdog.Host{Guest: "KVM"}, verdict: doctor.Warning, text: []string{"KVM", "no VM starts on this host"}},
		"timings too short":  {first: here, timeout: "3s", verdict: doctor.Warning, text: []string{"a takeover timeout of 3s leaves a watchdog device no time: 5s", waits}},
		"they stop":          {first: absent, change: selfStop, verdict: doctor.OK, text: []string{"stop themselves"}},
		"they stop, a guest": {first: here, host: watchdog.Host{Guest: "KVM"}, change: selfStop, verdict: doctor.Warning, text: []string{"self_stop does not belong here"}},
		"a witness":          {flags: "--role witness", first: absent, verdict: doctor.OK, text: []string{"runs no VMs"}},
		"accepted in vain":   {flags: "--accept-unproved", first: here, verdict: doctor.OK, text: []string{here}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{settings: daemonSettings(t, strings.Fields(c.flags)...), host: func() host { return machine(t, c.first, c.host) }}
			if c.change != nil {
				c.change(nil, a.settings)
			}
			if c.timeout != "" {
				a.settings = daemonSettings(t, "--timeout", c.timeout, "--interval", "100ms")
			}
			timings, err := a.settings.Timings()
			must(t, err)
			f := a.fencing(timings)
			if f.What != "fencing" || f.Verdict != c.verdict {
				t.Errorf("%+v", f)
			}
			for _, text := range c.text {
				if !strings.Contains(f.Text, text) {
					t.Errorf("%q does not say %q", f.Text, text)
				}
			}
		})
	}
}

// The finding is one of the doctor's, as text and as JSON, and makes no store bad.
func TestDoctorTellsOfTheHost(t *testing.T) {
	dir := t.TempDir()
	doctors := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		a := &app{stdout: &out, stderr: &errs, open: openStore, host: func() host {
			return machine(t, os.DevNull, watchdog.Host{Guest: "KVM"})
		}}
		code := a.main(t.Context(), append([]string{"doctor", "--persist-dir", dir, "--races", "1", "--samples", "1", "--timeout", lease.DefaultTimeout.String()}, args...))
		if code != ExitOK || errs.Len() > 0 {
			t.Errorf("exit %d: %s", code, errs.String())
		}
		return out.String()
	}
	if text := doctors(); !strings.Contains(text, "\nwarning  fencing   this host is a guest") || !strings.Contains(text, "ok       contract") {
		t.Error(text)
	}
	var all []doctor.Finding
	must(t, json.Unmarshal([]byte(doctors("-o", "json")), &all))
	if f := all[len(all)-1]; f.What != "fencing" || f.Verdict != doctor.Warning || !strings.Contains(f.Text, "KVM") {
		t.Errorf("%+v", all)
	}
}

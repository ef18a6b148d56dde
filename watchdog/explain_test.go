package watchdog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// explained is a guard whose resets are explained.
type explained struct {
	*yard
	*explainer
	console, log bytes.Buffer
}

func newExplained(t *testing.T, path string, change func(o *Options, d *dog)) *explained {
	t.Helper()
	e := &explained{}
	e.yard = newYard(func(o *Options, d *dog) {
		o.Explain = Explain{
			Path: path, Boot: "b2", Console: &e.console, Log: zerolog.New(&e.log),
			Wall: func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Add(e.now) },
		}
		if change != nil {
			change(o, d)
		}
	})
	e.explainer = newExplainer(e.Guard)
	return e
}

func fencePath(t *testing.T) string { return filepath.Join(t.TempDir(), "fence.json") }

// absent checks that nothing is left for the next start.
func absent(t *testing.T, path string) {
	t.Helper()
	if f, err := ReadFence(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%+v, %v", f, err)
	}
}

// A reset is told when a third of the time is left, once, on all that it can be told on;
// and taken back when it does not come.
func TestExplain(t *testing.T) {
	path := fencePath(t)
	e := newExplained(t, path, nil)
	e.turn()
	handed := e.now
	must(t, e.Extend(handed+30*time.Second, 5*time.Second, "i\n1"))
	e.now += 20 * time.Second
	e.turn()
	absent(t, path)
	e.now += time.Second
	e.turn()
	e.now += time.Second
	e.turn()
	f, err := ReadFence(path)
	must(t, err)
	want := &Fence{
		Boot: "b2", Time: time.Date(2027, 1, 1, 1, 0, 21, 0, time.UTC), Written: handed + 21*time.Second, Handed: handed,
		Deadline: handed + 30*time.Second, By: "i\n1", Action: ActionReboot, Device: "/dev/dog (dog), 5s after the last pet",
		Text: "no renewal was handed for 21s by incarnation i?1: this host is reset at 2027-01-01T01:00:30Z, in 9s, unless one comes",
	}
	if d := cmp.Diff(want, f); d != "" {
		t.Error(d)
	}
	if text := e.console.String(); text != consoleLine(f.Text) {
		t.Errorf("on the console: %q", text)
	}
	if text := e.log.String(); strings.Count(text, f.Text) != 1 {
		t.Errorf("in the log: %q", text)
	}
	must(t, e.Extend(e.now+30*time.Second, 5*time.Second, "i1"))
	e.turn()
	absent(t, path)
	if !strings.Contains(e.log.String(), "after all") {
		t.Errorf("%s", e.log.String())
	}
	// One that is lifted is taken back as well.
	e.now += 29 * time.Second
	e.turn()
	if _, err := ReadFence(path); err != nil {
		t.Error(err)
	}
	must(t, e.Disarm())
	e.turn()
	absent(t, path)
}

// The deadline that was told is the one in force, also where one follows that is as near.
func TestExplainTheLast(t *testing.T) {
	path := fencePath(t)
	e := newExplained(t, path, nil)
	must(t, e.Extend(e.now+30*time.Second, 5*time.Second, "i1"))
	e.now += 25 * time.Second
	e.turn()
	must(t, e.Extend(e.now+3*time.Second, 5*time.Second, "i2"))
	e.now += 2500 * time.Millisecond
	e.turn()
	if f, err := ReadFence(path); err != nil || f.By != "i2" {
		t.Errorf("%+v, %v", f, err)
	}
	// Once it is being reset nothing takes it back.
	e.ticks(2 * time.Second)
	e.turn()
	if f, err := ReadFence(path); err != nil || f.Passed || e.resets == 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

// Under ActionLog it says that nothing is done; what has passed stays to be read.
func TestExplainActionLog(t *testing.T) {
	path := fencePath(t)
	e := newExplained(t, path, func(o *Options, _ *dog) { o.Action = ActionLog })
	must(t, e.Extend(e.now+30*time.Second, 5*time.Second, "i1"))
	e.now += 25 * time.Second
	e.turn()
	if f, err := ReadFence(path); err != nil || f.Passed || !strings.Contains(f.Text, "would be reset") {
		t.Errorf("%+v, %v", f, err)
	}
	e.ticks(10 * time.Second)
	e.turn()
	for range 2 {
		if f, err := ReadFence(path); err != nil || !f.Passed || !strings.Contains(f.Text, "would have been reset at 2027-01-01T01:00:30Z; nothing was done") {
			t.Errorf("%+v, %v", f, err)
		}
		must(t, e.Acknowledge())
		must(t, e.Extend(e.now+30*time.Second, 5*time.Second, "i1"))
		e.turn()
	}
	if n := strings.Count(e.log.String(), "would have been"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// What a watchdog of this boot has left is taken back once the deadline is extended; what
// one of another boot has left is for the daemon to read.
func TestExplainWhatWasLeft(t *testing.T) {
	for boot, stays := range map[string]bool{"b1": true, "b2": false} {
		path := fencePath(t)
		f := &Fence{Boot: boot, Written: 2, Handed: 1, Deadline: 3, Action: ActionReboot}
		must(t, f.write(path))
		e := newExplained(t, path, nil)
		e.turn()
		if _, err := ReadFence(path); err != nil {
			t.Errorf("%s: nobody is known to renew: %v", boot, err)
		}
		must(t, e.Extend(e.now+30*time.Second, 5*time.Second, "i1"))
		e.turn()
		if _, err := ReadFence(path); (err == nil) != stays {
			t.Errorf("%s: %v", boot, err)
		}
	}
}

// Where nothing can be written it is told all the same, once.
func TestExplainWithoutADisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "fence.json")
	e := newExplained(t, path, nil)
	must(t, e.Extend(e.now+30*time.Second, 5*time.Second, strings.Repeat("ü", 2000)))
	e.now += 25 * time.Second
	e.turn()
	e.turn()
	if n := strings.Count(e.log.String(), "cannot be left"); n != 1 || e.console.Len() > 1000 || !strings.HasSuffix(e.console.String(), "ü\n") {
		t.Errorf("%d, %d on the console\n%s", n, e.console.Len(), e.log.String())
	}
	// Without an id of the boot no file could be told from an older one's.
	path = fencePath(t)
	e = newExplained(t, path, func(o *Options, _ *dog) { o.Explain.Boot = "" })
	must(t, e.Extend(e.now+30*time.Second, 5*time.Second, "i1"))
	e.now += 25 * time.Second
	e.turn()
	absent(t, path)
	if !strings.Contains(e.log.String(), "is reset at") {
		t.Errorf("%s", e.log.String())
	}
}

// A process for real explains a reset before it comes.
func TestAResetIsExplained(t *testing.T) {
	t.Parallel()
	w := newGuarded(t)
	c := w.dial()
	fence := func() (*Fence, error) { return ReadFence(w.record + ".fence") }
	_, err := c.Extend(boottime.Now()+time.Second, time.Second, "i1")
	must(t, err)
	_, err = c.Extend(boottime.Now()+9*time.Second, time.Second, "i1")
	must(t, err)
	w.until("it is told", func() bool { _, err := fence(); return err == nil })
	deadline := boottime.Now() + 6*time.Second
	_, err = c.Extend(deadline, time.Second, "i2")
	must(t, err)
	w.until("it is taken back", func() bool { _, err := fence(); return errors.Is(err, fs.ErrNotExist) })
	at := w.reset()
	f, err := fence()
	must(t, err)
	if f.Boot != "this-boot" || f.By != "i2" || f.Deadline != deadline || f.Written >= deadline || at < deadline {
		t.Errorf("reset at %d: %+v", at, f)
	}
	if text, err := os.ReadFile(w.record + ".console"); err != nil || strings.Count(string(text), "is reset at") != 2 {
		t.Errorf("%s, %v", text, err)
	}
}

// FuzzFence: whatever lies there is refused or means what it says.
func FuzzFence(f *testing.F) {
	good, err := json.Marshal(Fence{Boot: "b", Written: 2, Handed: 1, Deadline: 3, Action: ActionReboot, By: "i1", Text: "t"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, text := range []string{
		"", "{}", "null", `{"boot":"b","action":"reboot","deadline":1}`, `{"boot":"b","action":"log","deadline":3,"handed":4}`,
		`{"boot":"b","action":"kill","deadline":3,"written":2}`, `{"boot":"b","action":"log","deadline":3,"written":2}x`,
		`{"boot":"b","action":"log","deadline":3e0,"written":-1}`, `{"boot":"","action":"log","deadline":3,"written":2}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fence, err := decodeFence(data)
		if err != nil {
			return
		}
		if fence.Boot == "" || fence.Deadline <= fence.Handed || fence.Written < fence.Handed || fence.Handed < 0 ||
			(fence.Action != ActionReboot && fence.Action != ActionLog) {
			t.Errorf("%s was taken", data)
		}
		text, err := json.Marshal(fence)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeFence(text)
		if err != nil || !cmp.Equal(fence, again) {
			t.Errorf("%s was read as %+v, and that as %+v, %v", data, fence, again, err)
		}
	})
}

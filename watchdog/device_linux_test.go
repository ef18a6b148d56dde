package watchdog

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeKernel notes what is asked of the device, in order.
type fakeKernel struct {
	did      []string
	options  uint32
	identity string
	nowayout string // "" : there is no such file
	gives    int    // timeout that it answers, whatever was asked; 0: what was asked
	set      int
	fails    map[string]error
}

func (k *fakeKernel) do(what string) error {
	k.did = append(k.did, what)
	return k.fails[what]
}

func (k *fakeKernel) open(path string) (int, error) { return 3, k.do("open " + path) }

func (k *fakeKernel) info(int) (*unix.WatchdogInfo, error) {
	i := &unix.WatchdogInfo{Options: k.options}
	copy(i.Identity[:], k.identity)
	return i, k.do("info")
}

func (k *fakeKernel) setTimeout(_, seconds int) error {
	k.set = seconds
	return k.do("set")
}

func (k *fakeKernel) timeout(int) (int, error) {
	if k.gives > 0 {
		return k.gives, k.do("get")
	}
	return k.set, k.do("get")
}

func (k *fakeKernel) keepalive(int) error { return k.do("keepalive") }

func (k *fakeKernel) write(_ int, data []byte) error { return k.do("write " + string(data)) }

func (k *fakeKernel) close(int) error { return k.do("close") }

func (k *fakeKernel) read(path string) (string, error) {
	if path != "/sys/class/watchdog/watchdog0/nowayout" || k.nowayout == "" {
		return "", unix.ENOENT
	}
	return k.nowayout + "\n", nil
}

func hardware() *fakeKernel {
	return &fakeKernel{options: unix.WDIOF_MAGICCLOSE | unix.WDIOF_SETTIMEOUT, identity: "i6300ESB timer", nowayout: "0", fails: map[string]error{}}
}

// What is asked of a device, from its opening to its disarming.
func TestDeviceProtocol(t *testing.T) {
	k := hardware()
	d, err := openDevice(k, DefaultDevice, 5500*time.Millisecond)
	must(t, err)
	if i := d.Info(); i != (Info{Path: DefaultDevice, Identity: "i6300ESB timer", Timeout: 5 * time.Second}) {
		t.Errorf("%+v", i)
	}
	if !d.Pet() {
		t.Error("it takes no pet")
	}
	must(t, d.Disarm())
	if want := []string{"open /dev/watchdog0", "info", "set", "get", "keepalive", "keepalive", "write V", "close"}; !slices.Equal(k.did, want) {
		t.Errorf("%q, want %q", k.did, want)
	}
}

// Of all that a device may answer, what counts is that.
func TestDeviceAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		change func(k *fakeKernel)
		want   Info
	}{
		"another timeout":  {func(k *fakeKernel) { k.gives = 30 }, Info{Timeout: 30 * time.Second}},
		"a fixed timeout":  {func(k *fakeKernel) { k.gives = 60; k.fails["set"] = unix.EOPNOTSUPP }, Info{Timeout: time.Minute}},
		"too short for it": {func(k *fakeKernel) { k.gives = 10; k.fails["set"] = unix.EINVAL }, Info{Timeout: 10 * time.Second}},
		"nowayout":         {func(k *fakeKernel) { k.nowayout = "1" }, Info{Timeout: 5 * time.Second, NoWayOut: true}},
		"nobody knows":     {func(k *fakeKernel) { k.nowayout = "" }, Info{Timeout: 5 * time.Second, NoWayOut: true}},
		"no magic close":   {func(k *fakeKernel) { k.options = unix.WDIOF_SETTIMEOUT }, Info{Timeout: 5 * time.Second, CloseStops: true}},
		"softdog":          {func(k *fakeKernel) { k.identity = "Software Watchdog" }, Info{Timeout: 5 * time.Second, Identity: "Software Watchdog", Software: true}},
	} {
		t.Run(name, func(t *testing.T) {
			k := hardware()
			c.change(k)
			d, err := openDevice(k, "/dev/watchdog", 5*time.Second)
			must(t, err)
			c.want.Path = "/dev/watchdog"
			if c.want.Identity == "" {
				c.want.Identity = k.identity
			}
			if i := d.Info(); i != c.want {
				t.Errorf("%+v, want %+v", i, c.want)
			}
		})
	}
}

// A device that will not do is refused in a line, and does not count on.
func TestDeviceRefused(t *testing.T) {
	for what, c := range map[string]struct {
		timeout time.Duration
		text    string
		closed  bool
	}{
		"open /dev/watchdog0": {5 * time.Second, "in use by another program (systemd", false},
		"info":                {5 * time.Second, "does not say what it is", true},
		"set":                 {5 * time.Second, "set the timeout", true},
		"get":                 {5 * time.Second, "does not say its timeout", true},
		"keepalive":           {5 * time.Second, "does not take a pet", true},
	} {
		k := hardware()
		k.fails[what] = unix.EBUSY
		_, err := openDevice(k, DefaultDevice, c.timeout)
		if !errors.Is(err, ErrDevice) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), DefaultDevice) {
			t.Errorf("%s fails: %v", what, err)
		}
		if end := k.did[len(k.did)-1]; (end == "close") != c.closed || c.closed && k.did[len(k.did)-2] != "write V" {
			t.Errorf("%s fails: %q", what, k.did)
		}
	}
	k := hardware()
	if _, err := openDevice(k, DefaultDevice, 500*time.Millisecond); !errors.Is(err, ErrDevice) || len(k.did) > 0 {
		t.Errorf("%v, %q: opening it would have armed it", err, k.did)
	}
}

// One that will not do and cannot be disarmed would end the host: it is petted for ever.
func TestDeviceThatCannotBeLeft(t *testing.T) {
	k := hardware()
	k.nowayout, k.fails["set"] = "1", unix.EIO
	y := newYard(func(o *Options, _ *dog) {
		o.Device = func(timeout time.Duration) (Device, error) { return openDevice(k, DefaultDevice, timeout) }
	})
	for range 2 {
		if err := y.Extend(y.now+time.Second, 5*time.Second, "i"); !errors.Is(err, ErrDevice) || y.State().Armed {
			t.Errorf("%v, %+v", err, y.State())
		}
	}
	asked := len(k.did)
	y.ticks(time.Second)
	if pets := len(k.did) - asked; pets != 10 || y.resets > 0 {
		t.Errorf("%d pets in ten ticks, %d resets", pets, y.resets)
	}
}

// A device that is taken over is asked what it is and is not petted; what it does not
// answer counts against it.
func TestResumeDevice(t *testing.T) {
	was := Info{Path: DefaultDevice, Identity: "i6300ESB timer", Timeout: 5 * time.Second}
	for fails, want := range map[string]Info{
		"":     {Path: DefaultDevice, Identity: "iTCO_wdt", Timeout: 7 * time.Second},
		"info": {Path: DefaultDevice, Identity: "i6300ESB timer", Software: true, CloseStops: true},
		"get":  {Path: DefaultDevice, Identity: "iTCO_wdt"},
	} {
		k := hardware()
		k.identity, k.gives = "iTCO_wdt", 7
		k.fails[fails] = unix.EBADF
		d := resumeDevice(k, 9, was)
		if d.Info() != want || d.FD() != 9 {
			t.Errorf("%q fails: %+v, %d", fails, d.Info(), d.FD())
		}
		if slices.Contains(k.did, "keepalive") || slices.Contains(k.did, "set") {
			t.Errorf("%q", k.did)
		}
		armed := State{Armed: true, Deadline: 2, Action: ActionReboot, Device: &want}
		if why := Unproved(armed, Host{}, 9*time.Second, 1); (why == "") != (fails == "") {
			t.Errorf("%q fails: %q", fails, why)
		}
		if !d.Pet() || k.did[len(k.did)-1] != "keepalive" {
			t.Errorf("%q", k.did)
		}
	}
}

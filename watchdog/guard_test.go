package watchdog

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dog is a device that is none.
type dog struct {
	is        Info
	pets      int
	lazy      bool // takes no pets
	stubborn  bool // is not disarmed
	disarmed  bool
	dumb      bool          // sets no timeout
	set, gets time.Duration // asked for, and answered
}

func (d *dog) Pet() bool {
	if d.lazy {
		return false
	}
	d.pets++
	return true
}

func (d *dog) SetTimeout(t time.Duration) (time.Duration, error) {
	if d.dumb {
		return 0, ErrDevice
	}
	d.set = t
	d.is.Timeout = t
	if d.gets > 0 {
		d.is.Timeout = d.gets
	}
	return d.is.Timeout, nil
}

func (d *dog) Disarm() error {
	if d.stubborn {
		return ErrDevice
	}
	d.disarmed = true
	return nil
}

func (d *dog) Info() Info { return d.is }

func (d *dog) FD() int { return -1 }

// yard is a guard, its clock and its device.
type yard struct {
	*Guard
	now    time.Duration
	dog    *dog
	resets int
}

func newYard(change func(o *Options, d *dog)) *yard {
	y := &yard{now: time.Hour, dog: &dog{is: Info{Path: "/dev/dog", Identity: "dog"}}}
	o := Options{Action: ActionReboot, Reset: func() { y.resets++ }, Now: func() time.Duration { return y.now }}
	o.Device = func(timeout time.Duration) (Device, error) {
		_, err := y.dog.SetTimeout(timeout)
		return y.dog, err
	}
	if change != nil {
		change(&o, y.dog)
	}
	y.Guard = New(o)
	return y
}

// ticks lets so much time pass, a tick each 100 ms.
func (y *yard) ticks(d time.Duration) {
	for end := y.now + d; y.now < end; y.now += 100 * time.Millisecond {
		y.Tick()
	}
}

// After the deadline nothing is petted, the host is reset, and no word is taken that
// would extend or lift it.
func TestADeadlineThatPasses(t *testing.T) {
	y := newYard(nil)
	y.ticks(time.Second)
	if y.dog.pets > 0 || y.State().Armed {
		t.Error("it is armed before a deadline was handed")
	}
	must(t, y.Extend(y.now+2*time.Second, 5*time.Second, "i1"))
	y.ticks(time.Second)
	must(t, y.Extend(y.now+2*time.Second, 5*time.Second, "i1"))
	y.ticks(2 * time.Second)
	if y.resets > 0 || y.dog.pets != 30 {
		t.Errorf("%d resets and %d pets while the deadline lay ahead", y.resets, y.dog.pets)
	}
	if err := y.Extend(y.now+time.Second, 5*time.Second, "i1"); !errors.Is(err, ErrPassed) {
		t.Errorf("a deadline that has passed at this instant was extended: %v", err)
	}
	y.ticks(time.Second)
	if y.resets != 10 || y.dog.pets != 30 {
		t.Errorf("%d resets and %d pets in ten ticks after the deadline", y.resets, y.dog.pets-30)
	}
	for what, err := range map[string]error{
		"extended": y.Extend(y.now+time.Second, 5*time.Second, "i2"), "lifted": y.Disarm(), "acknowledged": y.Acknowledge(),
	} {
		if !errors.Is(err, ErrPassed) {
			t.Errorf("it was %s: %v", what, err)
		}
	}
	if s := y.State(); !s.Passed || s.Armed || y.dog.disarmed {
		t.Errorf("%+v", s)
	}
}

func TestDisarm(t *testing.T) {
	y := newYard(nil)
	must(t, y.Disarm())
	must(t, y.Extend(y.now+time.Second, 5*time.Second, "i1"))
	if s := y.State(); !s.Armed || s.By != "i1" || s.Deadline != y.now+time.Second || s.Device == nil || s.Device.Timeout != 5*time.Second {
		t.Errorf("%+v", s)
	}
	must(t, y.Disarm())
	y.ticks(10 * time.Second)
	if !y.dog.disarmed || y.resets > 0 || y.dog.pets > 0 {
		t.Errorf("%+v, %d resets", y.dog, y.resets)
	}
	must(t, y.Extend(y.now+time.Second, 5*time.Second, "i2"))
	y.ticks(2 * time.Second)
	if y.resets == 0 {
		t.Error("a deadline that was handed after it had been disarmed passes unnoticed")
	}
}

// A device that cannot be disarmed, or is not, would end the host: it is petted on.
func TestADeviceThatIsNotDisarmed(t *testing.T) {
	for _, stubborn := range []bool{false, true} {
		y := newYard(func(_ *Options, d *dog) { d.stubborn, d.is.NoWayOut = stubborn, !stubborn })
		must(t, y.Extend(y.now+time.Second, 5*time.Second, "i1"))
		if err := y.Disarm(); (err != nil) != stubborn {
			t.Error(err)
		}
		y.ticks(10 * time.Second)
		if y.dog.pets != 100 || y.resets > 0 || y.State().Armed {
			t.Errorf("stubborn %t: %d pets, %d resets", stubborn, y.dog.pets, y.resets)
		}
		must(t, y.Extend(y.now+time.Second, 5*time.Second, "i1"))
		y.ticks(2 * time.Second)
		if y.end() {
			t.Error("it may be left, and nobody would pet the device any more")
		}
		if y.dog.pets != 110 || y.resets != 10 {
			t.Errorf("stubborn %t, armed again: %d pets, %d resets", stubborn, y.dog.pets, y.resets)
		}
	}
}

// Where the action is to log, nothing is done to the host, by the device neither.
func TestActionLog(t *testing.T) {
	y := newYard(func(o *Options, _ *dog) { o.Action = ActionLog })
	must(t, y.Extend(y.now+time.Second, 5*time.Second, "i1"))
	y.ticks(3 * time.Second)
	if s := y.State(); !s.Passed || s.Device != nil || y.resets > 0 || y.dog.set != 0 {
		t.Errorf("%+v, %d resets", s, y.resets)
	}
	if err := y.Extend(y.now+time.Second, 5*time.Second, "i1"); !errors.Is(err, ErrPassed) {
		t.Errorf("%v", err)
	}
	must(t, y.Acknowledge())
	must(t, y.Extend(y.now+time.Second, 5*time.Second, "i1"))
}

// A timeout that gets shorter is set on the open device; one that gets longer changes
// nothing, since the deadline before rests on the shorter one.
func TestTimeouts(t *testing.T) {
	y := newYard(nil)
	for _, c := range []struct{ ask, want time.Duration }{{5 * time.Second, 5 * time.Second}, {9 * time.Second, 5 * time.Second}, {2 * time.Second, 2 * time.Second}} {
		must(t, y.Extend(y.now+time.Second, c.ask, "i1"))
		if s := y.State(); s.Device.Timeout != c.want || y.dog.set != c.want {
			t.Errorf("asked for %s: %s, and the device for %s", c.ask, s.Device.Timeout, y.dog.set)
		}
	}
	if err := y.Extend(y.now, time.Second, "i1"); err == nil || errors.Is(err, ErrPassed) {
		t.Errorf("a deadline that does not lie ahead: %v", err)
	}
	if s := y.State(); !s.Armed || s.Deadline != y.now+time.Second {
		t.Errorf("it changed the one in force: %+v", s)
	}
}

// Whoever renews in time is not ended because its device does not take a new timeout; it
// proves nothing from then on.
func TestADeviceThatTakesNoTimeout(t *testing.T) {
	y := newYard(nil)
	must(t, y.Extend(y.now+time.Second, 5*time.Second, "i1"))
	y.dog.dumb = true
	must(t, y.Extend(y.now+2*time.Second, 3*time.Second, "i1"))
	s := y.State()
	if !s.Armed || s.Deadline != y.now+2*time.Second || s.Device.Timeout != 0 {
		t.Errorf("%+v", s)
	}
	y.Tick()
	if Unproved(y.State(), Host{}, 5*time.Second, y.now) == "" {
		t.Error("it proves what it does not know")
	}
	y.dog.dumb = false
	must(t, y.Extend(y.now+2*time.Second, 3*time.Second, "i1"))
	if s := y.State(); s.Device.Timeout != 3*time.Second {
		t.Errorf("it was not tried again: %+v", s.Device)
	}
}

// A device that takes its time to be opened: a deadline that has passed meanwhile is not
// handed, and the device is let go.
func TestADeviceThatIsSlow(t *testing.T) {
	y := newYard(nil)
	open := y.opts.Device
	y.opts.Device = func(timeout time.Duration) (Device, error) {
		y.now += 2 * time.Second
		return open(timeout)
	}
	if err := y.Extend(y.now+time.Second, 5*time.Second, "i1"); err == nil || y.State().Armed || !y.dog.disarmed {
		t.Errorf("%v, %+v", err, y.State())
	}
	y.ticks(time.Second)
	if y.resets > 0 {
		t.Error("the host was reset for a deadline that nobody was promised")
	}
}

// A guard that may be left takes no deadline any more: nobody would watch it.
func TestTheEnd(t *testing.T) {
	y := newYard(nil)
	must(t, y.Extend(y.now+time.Second, 5*time.Second, "i1"))
	if y.end() {
		t.Error("it may be left while it is armed")
	}
	must(t, y.Disarm())
	if !y.end() {
		t.Error("it may not be left")
	}
	if err := y.Extend(y.now+time.Second, 5*time.Second, "i1"); !errors.Is(err, ErrEnding) || y.State().Armed {
		t.Errorf("%v, %+v", err, y.State())
	}
}

// A device that does not answer a pet does not keep the deadline from being judged.
func TestJudge(t *testing.T) {
	y := newYard(nil)
	must(t, y.Extend(y.now+time.Second, 5*time.Second, "i1"))
	y.now += 2 * time.Second
	y.Judge()
	if y.resets != 1 || y.dog.pets > 0 || !y.State().Passed {
		t.Errorf("%d resets, %d pets, %+v", y.resets, y.dog.pets, y.State())
	}
}

// A device that cannot be had: nothing is armed, and it says so.
func TestNoDevice(t *testing.T) {
	y := newYard(func(o *Options, _ *dog) { o.Device = func(time.Duration) (Device, error) { return nil, ErrDevice } })
	if err := y.Extend(y.now+time.Second, 5*time.Second, "i1"); !errors.Is(err, ErrDevice) || y.State().Armed {
		t.Errorf("%v, %+v", err, y.State())
	}
}

// However the loop and the daemon's words fall together: once it was reset nothing was
// extended, and what was extended in time was not reset.
func TestTogether(t *testing.T) {
	for range 2000 {
		var now, reset atomic.Int64
		now.Store(int64(time.Hour))
		g := New(Options{
			Action: ActionReboot, Now: func() time.Duration { return time.Duration(now.Load()) },
			Reset: func() { reset.CompareAndSwap(0, now.Load()) },
		})
		must(t, g.Extend(time.Hour+3, 0, "i"))
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 20 {
				now.Add(1)
				g.Tick()
			}
		})
		last := time.Hour + 3
		wg.Go(func() {
			for range 20 {
				next := time.Duration(now.Load()) + 1 + time.Duration(rand.IntN(3))
				was := reset.Load()
				if err := g.Extend(next, 0, "i"); err == nil {
					if was != 0 {
						t.Errorf("extended after the reset")
					}
					last = next
				}
			}
		})
		wg.Wait()
		if at := reset.Load(); at != 0 && time.Duration(at) < last {
			t.Fatalf("reset at %d, the deadline in force was %d", at, last)
		}
	}
}

// The loop allocates nothing, whatever there is to do.
func TestTheLoopAllocatesNothing(t *testing.T) {
	y := newYard(nil)
	r := &Reset{sysrq: 1, kmsg: 1, write: func(int, []byte) (int, error) { return 0, nil }, reboot: func() { y.resets++ }}
	y.opts.Reset = r.Now
	for what, prepare := range map[string]func(){
		"unarmed": func() {},
		"armed":   func() { must(t, y.Extend(y.now+time.Second, time.Second, "i")) },
	} {
		prepare()
		if n := testing.AllocsPerRun(1000, y.Tick); n != 0 {
			t.Errorf("%s: %g allocations a tick", what, n)
		}
	}
	must(t, y.Extend(y.now+time.Second, time.Second, "i"))
	y.now += time.Minute
	if n := testing.AllocsPerRun(1000, y.Tick); n != 0 || y.resets < 1000 {
		t.Errorf("passed: %g allocations a tick, %d resets", n, y.resets)
	}
}

// The reset says a last word, asks the kernel at once, and then the long way.
func TestReset(t *testing.T) {
	var did []string
	r := &Reset{
		sysrq: 7, kmsg: 8, reboot: func() { did = append(did, "reboot") },
		write: func(fd int, data []byte) (int, error) {
			did = append(did, map[int]string{7: "sysrq ", 8: "kmsg "}[fd]+string(data))
			return 0, errors.New("no")
		},
	}
	r.Now()
	if len(did) != 3 || did[0] != "kmsg "+string(lastWord) || did[1] != "sysrq b" || did[2] != "reboot" {
		t.Errorf("%q", did)
	}
}

package watchdog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// What makes a process of these tests hold a device that is a file, and hesitate to begin
// where it takes another program's place: until what it names, with ".go" added, is there.
const (
	deviceEnv   = "WATCHDOG_TEST_DEVICE"
	hesitateEnv = "WATCHDOG_TEST_HESITATE"
)

func hesitate() {
	path := os.Getenv(hesitateEnv)
	if _, ok := os.LookupEnv(handoverEnv); !ok || path == "" {
		return
	}
	_ = os.WriteFile(path, nil, 0o600)
	for {
		if _, err := os.Stat(path + ".go"); err == nil {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// fileDevice is a file that tells its timeout, when it was petted last, how often it was
// opened, and whether it was disarmed: four numbers.
type fileDevice struct {
	fd int
	is Info
}

const (
	atTimeout = 8 * iota
	atPet
	atOpened
	atDisarmed
)

func (d *fileDevice) put(at int64, v time.Duration) bool {
	_, err := unix.Pwrite(d.fd, binary.LittleEndian.AppendUint64(nil, uint64(v)), at)
	return err == nil
}

func (d *fileDevice) get(at int64) time.Duration {
	var data [8]byte
	_, _ = unix.Pread(d.fd, data[:], at)
	return time.Duration(binary.LittleEndian.Uint64(data[:]))
}

func (d *fileDevice) Pet() bool { return d.put(atPet, boottime.Now()) }

func (d *fileDevice) SetTimeout(timeout time.Duration) (time.Duration, error) {
	d.is.Timeout = timeout
	d.put(atTimeout, timeout)
	return timeout, nil
}

func (d *fileDevice) Disarm() error {
	d.put(atDisarmed, 1)
	return unix.Close(d.fd)
}

func (d *fileDevice) Info() Info { return d.is }

func (d *fileDevice) FD() int { return d.fd }

func openFileDevice(path string) func(time.Duration) (Device, error) {
	return func(timeout time.Duration) (Device, error) {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		d := &fileDevice{fd: fd, is: Info{Path: path, Identity: "a file"}}
		d.put(atOpened, d.get(atOpened)+1)
		_, err = d.SetTimeout(timeout)
		return d, err
	}
}

func resumeFileDevice(fd int, was Info) Device {
	d := &fileDevice{fd: fd, is: was}
	d.is.Timeout = d.get(atTimeout)
	return d
}

// upgrade is a watchdog with a device that is going to be replaced by this test's program.
type upgrade struct {
	*guarded
	*Keeper
	device, hesitates string
}

func newUpgrade(t *testing.T) *upgrade {
	t.Helper()
	dir := t.TempDir()
	u := &upgrade{device: filepath.Join(dir, "device"), hesitates: filepath.Join(dir, "hesitates")}
	u.guarded = newGuarded(t, deviceEnv+"="+u.device, hesitateEnv+"="+u.hesitates)
	u.Keeper = NewKeeper(KeeperConfig{Socket: u.socket, Patience: 10 * time.Second})
	t.Cleanup(func() { _ = u.Close() })
	return u
}

// says is a number of the device.
func (u *upgrade) says(at int64) time.Duration {
	u.t.Helper()
	fd, err := unix.Open(u.device, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(u.t, err)
	defer unix.Close(fd)
	return (&fileDevice{fd: fd}).get(at)
}

func (u *upgrade) goOn() { must(u.t, os.WriteFile(u.hesitates+".go", nil, 0o600)) }

// begins lets an upgrade begin, and waits until the new program is there and does nothing
// yet.
func (u *upgrade) begins() (result func() (State, error)) {
	u.t.Helper()
	var s State
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, err = u.Upgrade(os.Args[0])
	}()
	u.until("the new program begins", func() bool {
		_, err := os.Stat(u.hesitates)
		return err == nil
	})
	return func() (State, error) {
		<-done
		return s, err
	}
}

func (u *upgrade) extend(d time.Duration, by string) (State, time.Duration) {
	u.t.Helper()
	deadline := boottime.Now() + d
	s, err := u.Extend(deadline, time.Second, by)
	must(u.t, err)
	return s, deadline
}

// A deadline outlives the program that was handed it, with its device, which is petted
// on, and whoever asks meanwhile is told that it is armed or nothing. The next program
// extends it, and can be replaced as well.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t)
	before, deadline := u.extend(time.Hour, "i1")
	u.goOn()
	var asking sync.WaitGroup
	over := make(chan struct{})
	for range 2 {
		asking.Go(func() {
			k := NewKeeper(KeeperConfig{Socket: u.socket, Patience: 10 * time.Second})
			defer k.Close()
			for n := 0; ; n++ {
				select {
				case <-over:
					if n < 10 {
						t.Errorf("it was asked %d times", n)
					}
					return
				default:
				}
				s, err := k.State()
				if err != nil && broken(err) {
					n-- // the program that took the question up is over: it is told nothing
					continue
				}
				if err != nil || !s.Armed || s.Deadline != deadline || s.By != "i1" || s.Device == nil {
					t.Errorf("%+v, %v", s, err)
				}
			}
		})
	}
	for i := range 3 {
		s, err := u.Upgrade(os.Args[0])
		must(t, err)
		if s.PID != before.PID || s.Replaced != i+1 || !s.Armed || s.Deadline != deadline || s.By != "i1" || *s.Device != *before.Device {
			t.Errorf("%+v, %+v", s, s.Device)
		}
	}
	close(over)
	asking.Wait()
	resumed := boottime.Now()
	u.until("the device is petted on", func() bool { return u.says(atPet) > resumed })
	if n := u.says(atOpened); n != 1 {
		t.Errorf("the device was opened %d times", n)
	}
	if _, err := claim(t.Context(), u.socket); !errors.Is(err, ErrBusy) {
		t.Errorf("its place is not its own any more: %v", err)
	}
	_, deadline = u.extend(time.Second, "i2")
	if at := u.reset(); at < deadline {
		t.Errorf("reset %s before the deadline", deadline-at)
	}
	if pet := u.says(atPet); pet >= deadline || u.says(atDisarmed) != 0 {
		t.Errorf("petted %s after the deadline", pet-deadline)
	}
}

// A deadline that passes while one program takes the other's place: the host is reset at
// once, the device is not petted, and until then nobody is told that it is armed.
func TestADeadlineThatPassesInAnUpgrade(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t)
	_, deadline := u.extend(6*time.Second, "i1")
	result := u.begins()
	if now := boottime.Now(); now >= deadline {
		t.Fatalf("the new program took too long to begin: %s", now-deadline)
	}
	u.until("the deadline is past", func() bool { return boottime.Now() > deadline })
	c := u.dial()
	if s, err := c.ask(question{Op: opState}, 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nobody guards, and it says %+v, %v", s, err)
	}
	if n := len(u.resets()); n > 0 {
		t.Fatalf("%d resets", n)
	}
	u.goOn()
	u.reset()
	if s, err := result(); err != nil || s.Armed || !s.Passed {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := u.Extend(boottime.Now()+time.Hour, time.Second, "i2"); !errors.Is(err, ErrPassed) {
		t.Errorf("it was extended: %v", err)
	}
	if pet := u.says(atPet); pet >= deadline {
		t.Errorf("petted %s after the deadline", pet-deadline)
	}
}

// One that is not armed is replaced as well; one that has passed stays so.
func TestUpgradeOfTheRest(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t)
	u.goOn()
	if s, err := u.Upgrade(os.Args[0]); err != nil || s.Armed || s.Passed || s.Device != nil || s.Replaced != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	u.extend(200*time.Millisecond, "i1")
	u.reset()
	if s, err := u.Upgrade(os.Args[0]); err != nil || !s.Passed || s.Armed || s.Replaced != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

// The program that has taken the place ends when it is told to and may, and not before;
// one that was told so already is not replaced by one that was not.
func TestAnUpgradeThatIsToldToEnd(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t)
	u.extend(time.Hour, "i1")
	u.goOn()
	_, err := u.Upgrade(os.Args[0])
	must(t, err)
	u.signal(syscall.SIGTERM)
	for range 20 {
		if s, err := u.State(); err != nil || !s.Armed {
			t.Fatalf("%+v, %v", s, err)
		}
		<-time.After(10 * time.Millisecond)
	}
	_, err = u.Disarm()
	must(t, err)
	u.until("it ends", u.ended)
	if len(u.resets()) > 0 {
		t.Error("it has reset the host")
	}
	if _, err := os.Stat(u.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket is left: %v", err)
	}
	if u.says(atDisarmed) != 1 {
		t.Error("its device counts on")
	}
	told := make(chan struct{})
	close(told)
	here, err := claim(t.Context(), u.socket)
	must(t, err)
	defer here.leave()
	r := &replacer{g: newYard(nil).Guard, here: here, ending: told}
	if err := r.exec(filepath.Join(t.TempDir(), "none"), 0); !errors.Is(err, ErrEnding) {
		t.Errorf("%v", err)
	}
}

// A program that nobody should trust with a deadline does not get it, and one that cannot
// take it leaves all as it was.
func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t)
	u.goOn()
	before, deadline := u.extend(time.Hour, "i1")
	dir := t.TempDir()
	program := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), mode))
		must(t, os.Chmod(path, mode))
		return path
	}
	good := program("good", "exit 0", 0o755)
	must(t, os.Symlink(program("links", "exit 0", 0o757), filepath.Join(dir, "link")))
	for text, path := range map[string]string{
		"an absolute path":         "hoster-ha",
		"no such file":             filepath.Join(dir, "none"),
		"is no program":            program("data", "exit 0", 0o644),
		dir + " is no program":     dir,
		"may be written by others": program("open", "exit 0", 0o775),
		"links may be written":     filepath.Join(dir, "link"),
		"version: exit 3":          program("fails", "exit 3", 0o755),
		"does not say its version": program("hangs", "sleep 30", 0o755),
		"vanishes: permission":     program("vanishes", `chmod 0 "$0"`, 0o755),
		"exec format error":        program("nothing", "printf 'x' > \"$0\"", 0o755),
	} {
		s, err := u.Upgrade(path)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %+v, %v, want %q", path, s, err, text)
		}
		if s, err := u.State(); err != nil || s.Replaced != 0 || s.PID != before.PID || !s.Armed || s.Deadline != deadline || s.Device == nil {
			t.Errorf("after %s: %+v, %v", path, s, err)
		}
	}
	if os.Geteuid() == 0 {
		must(t, os.Chown(good, 12345, 12345))
		if _, err := u.Upgrade(good); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
			t.Errorf("%v", err)
		}
	}
	// While a program is asked for its version the deadline is extended as ever.
	asked := filepath.Join(dir, "asked")
	done := make(chan error, 1)
	go func() {
		_, err := u.Upgrade(program("slow", "touch "+asked+"; while [ -e "+asked+" ]; do sleep 0.01; done; exit 4", 0o755))
		done <- err
	}()
	u.until("it is asked", func() bool { _, err := os.Stat(asked); return err == nil })
	if s, now := u.extend(time.Hour, "i2"); s.By != "i2" || s.Deadline != now {
		t.Errorf("%+v", s)
	}
	if err := u.dial().Reexec(os.Args[0]); err == nil || !strings.Contains(err.Error(), "is being replaced already") {
		t.Errorf("%v", err)
	}
	must(t, os.Remove(asked))
	if err := <-done; err == nil || !strings.Contains(err.Error(), "exit 4") {
		t.Errorf("%v", err)
	}
	refused := boottime.Now()
	u.until("the device is petted on", func() bool { return u.says(atPet) > refused })
	if s, err := u.Upgrade(os.Args[0]); err != nil || s.Replaced != 1 || !s.Armed {
		t.Errorf("%+v, %v", s, err)
	}
}

// A program that ends in the place that it has taken: nobody is told that it is armed,
// and the device, which nobody has disarmed, counts on without pets.
func TestAnUpgradeThatEnds(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t)
	u.extend(time.Hour, "i1")
	path := filepath.Join(t.TempDir(), "ends")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n[ \"$1\" = version ]\n"), 0o755))
	if s, err := u.Upgrade(path); err == nil || s.Armed || !strings.Contains(err.Error(), "does not answer any more") {
		t.Errorf("%+v, %v", s, err)
	}
	u.until("it has ended", u.ended)
	if s, err := u.State(); err == nil {
		t.Errorf("%+v", s)
	}
	if u.says(atDisarmed) != 0 {
		t.Error("the device was disarmed")
	}
}

// A place that is not its own any more is taken anew; where it cannot be had the deadline
// is guarded all the same.
func TestAnUpgradeWithoutAPlace(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t)
	_, deadline := u.extend(time.Hour, "i1")
	must(t, os.Remove(u.socket+".lock"))
	u.goOn()
	if s, err := u.Upgrade(os.Args[0]); err != nil || !s.Armed || s.Deadline != deadline || s.Replaced != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := claim(t.Context(), u.socket); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	must(t, os.Remove(u.socket+".lock"))
	must(t, os.Mkdir(u.socket+".lock", 0o700))
	_, deadline = u.extend(3*time.Second, "i2")
	c := u.dial()
	if err := c.Reexec(os.Args[0]); err != nil {
		t.Errorf("%v", err)
	}
	if at := u.reset(); at < deadline {
		t.Errorf("reset %s before the deadline", deadline-at)
	}
	if _, err := Dial(t.Context(), u.socket); err == nil {
		t.Error("it answers")
	}
}

// What was promised for a deadline stays, whatever the next program finds in its settings:
// others judge by it until they have heard otherwise.
func TestAnUpgradeKeepsTheAction(t *testing.T) {
	here, err := claim(t.Context(), filepath.Join(t.TempDir(), "s"))
	must(t, err)
	defer here.leave()
	for _, action := range []string{ActionReboot, ActionLog} {
		before := New(Options{Action: action, Now: boottime.Now})
		h, err := before.leaves(here)
		must(t, err)
		for _, own := range []string{ActionReboot, ActionLog} {
			next := New(Options{Action: own, Now: boottime.Now})
			next.resume(h)
			if got := next.State().Action; got != action {
				t.Errorf("%s, and by its own settings %s: %s", action, own, got)
			}
		}
	}
	if _, err := decodeHandover([]byte(`{"pid":1,"listener":3,"lock":4,"action":"sync"}`)); err == nil {
		t.Error("an action that is not known was taken")
	}
}

// FuzzHandover: what cannot be what a watchdog has left is refused.
func FuzzHandover(f *testing.F) {
	for _, text := range []string{
		"", "{}", "null", `{"pid":1,"deadline":0,"listener":3,"lock":4}`, `{"deadline":-2,"listener":3,"lock":4}`, `{"deadline":5,"last":5,"listener":3,"lock":3}`,
		`{"deadline":5,"last":6,"listener":3,"lock":4}`, `{"deadline":5,"last":5,"listener":3,"lock":4,"device":{"fd":0,"info":{}}}`, `{"deadline":-1,"listener":3,"lock":4,"device":{"fd":5}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := decodeHandover(data)
		if err != nil {
			return
		}
		if h.Deadline < passed || (h.Deadline > 0 && h.Deadline != int64(h.Last)) {
			t.Errorf("%s was taken", data)
		}
		all := fmt.Sprint(h.descriptors())
		for _, fd := range h.descriptors() {
			if fd <= 2 || strings.Count(" "+strings.Trim(all, "[]")+" ", fmt.Sprintf(" %d ", fd)) != 1 {
				t.Errorf("%s was taken: %s", data, all)
			}
		}
	})
}

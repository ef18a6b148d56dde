package watchdog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultDevice is the first watchdog of the kernel.
const DefaultDevice = "/dev/watchdog0"

// sys is the kernel's interface, so that a test can see what is asked of it, and in
// which order.
type sys interface {
	open(path string) (fd int, err error)
	info(fd int) (*unix.WatchdogInfo, error)
	setTimeout(fd, seconds int) error
	timeout(fd int) (seconds int, err error)
	keepalive(fd int) error
	write(fd int, data []byte) error
	close(fd int) error
	read(path string) (string, error)
}

// linuxDevice is one of /dev/watchdog*.
type linuxDevice struct {
	sys sys
	fd  int
	is  Info
}

// OpenDevice opens a watchdog device, which arms it, with a timeout of at most that.
// A device that somebody holds already is refused, by name; systemd does if
// RuntimeWatchdogSec is set. One that will not do, and cannot be disarmed, comes with the
// error: it has to be petted, or it ends the host.
func OpenDevice(path string, timeout time.Duration) (Device, error) {
	return openDevice(kernel{}, path, timeout)
}

func openDevice(s sys, path string, timeout time.Duration) (Device, error) {
	if timeout < time.Second {
		return nil, fmt.Errorf("%w: %s: a timeout of %s, the least is 1 s", ErrDevice, path, timeout)
	}
	fd, err := s.open(path)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: %s is in use by another program (systemd, if RuntimeWatchdogSec= is set in system.conf): %w", ErrDevice, path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDevice, path, err)
	}
	d := &linuxDevice{sys: s, fd: fd, is: Info{Path: path}}
	if err := d.begin(timeout); err != nil {
		// It counts since it was opened.
		if d.nowayout() {
			return d, err
		}
		if derr := d.Disarm(); derr != nil {
			return d, errors.Join(err, derr)
		}
		return nil, err
	}
	return d, nil
}

// ResumeDevice takes over a device that the program before has opened in this process.
// It is not petted by that, and what it does not answer any more counts against it.
func ResumeDevice(fd int, was Info) Device { return resumeDevice(kernel{}, fd, was) }

func resumeDevice(s sys, fd int, was Info) *linuxDevice {
	d := &linuxDevice{sys: s, fd: fd, is: Info{Path: was.Path, Identity: was.Identity, Software: true, CloseStops: true}}
	if d.identify() != nil {
		d.is.NoWayOut = d.nowayout()
		return d
	}
	if got, err := s.timeout(fd); err == nil {
		d.is.Timeout = time.Second * time.Duration(got)
	}
	return d
}

func (d *linuxDevice) begin(timeout time.Duration) error {
	if err := d.identify(); err != nil {
		return err
	}
	if _, err := d.SetTimeout(timeout); err != nil {
		return err
	}
	if !d.Pet() {
		return fmt.Errorf("%w: %s does not take a pet", ErrDevice, d.is.Path)
	}
	return nil
}

// identify asks the device what it is.
func (d *linuxDevice) identify() error {
	info, err := d.sys.info(d.fd)
	if err != nil {
		return fmt.Errorf("%w: %s does not say what it is: %w", ErrDevice, d.is.Path, err)
	}
	d.is.Identity = unix.ByteSliceToString(info.Identity[:])
	d.is.Software = strings.Contains(strings.ToLower(d.is.Identity), "software") || strings.Contains(strings.ToLower(d.is.Identity), "softdog")
	d.is.NoWayOut = d.nowayout()
	d.is.CloseStops = !d.is.NoWayOut && info.Options&unix.WDIOF_MAGICCLOSE == 0
	return nil
}

// nowayout is what the kernel says of the device; without a word it is taken for so.
func (d *linuxDevice) nowayout() bool {
	name := filepath.Base(d.is.Path)
	if name == "watchdog" {
		name = "watchdog0"
	}
	text, err := d.sys.read("/sys/class/watchdog/" + name + "/nowayout")
	return err != nil || strings.TrimSpace(text) != "0"
}

// SetTimeout implements Device: what counts is what the device answers.
func (d *linuxDevice) SetTimeout(timeout time.Duration) (time.Duration, error) {
	seconds := int(timeout / time.Second)
	if seconds < 1 {
		return 0, fmt.Errorf("%w: %s: a timeout of %s, the least is 1 s", ErrDevice, d.is.Path, timeout)
	}
	if err := d.sys.setTimeout(d.fd, seconds); err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
		return 0, fmt.Errorf("%w: %s: set the timeout: %w", ErrDevice, d.is.Path, err)
	}
	got, err := d.sys.timeout(d.fd)
	if err != nil {
		return 0, fmt.Errorf("%w: %s does not say its timeout: %w", ErrDevice, d.is.Path, err)
	}
	d.is.Timeout = time.Duration(got) * time.Second
	return d.is.Timeout, nil
}

// Pet implements Device.
func (d *linuxDevice) Pet() bool { return d.sys.keepalive(d.fd) == nil }

// Info implements Device.
func (d *linuxDevice) Info() Info { return d.is }

// FD implements Device.
func (d *linuxDevice) FD() int { return d.fd }

// magic tells the device that the close after it is meant.
var magic = []byte("V")

// Disarm implements Device.
func (d *linuxDevice) Disarm() error {
	if err := d.sys.write(d.fd, magic); err != nil && !d.is.CloseStops {
		return fmt.Errorf("%w: %s: disarm: %w", ErrDevice, d.is.Path, err)
	}
	_ = d.sys.close(d.fd) // it is closed whatever this says
	return nil
}

// kernel is the real one.
type kernel struct{}

func (kernel) open(path string) (int, error) { return unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0) }

func (kernel) info(fd int) (*unix.WatchdogInfo, error) { return unix.IoctlGetWatchdogInfo(fd) }

func (kernel) setTimeout(fd, seconds int) error {
	return unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, seconds)
}

func (kernel) timeout(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT) }

func (kernel) keepalive(fd int) error { return unix.IoctlWatchdogKeepalive(fd) }

func (kernel) write(fd int, data []byte) error {
	_, err := unix.Write(fd, data)
	return err
}

func (kernel) close(fd int) error { return unix.Close(fd) }

func (kernel) read(path string) (string, error) {
	data, err := os.ReadFile(path)
	return string(data), err
}

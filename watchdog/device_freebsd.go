package watchdog

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultDevice is FreeBSD's one interface to all its watchdogs.
const DefaultDevice = "/dev/fido"

// From watchdog(4), which x/sys does not carry.
const (
	wdiocPatPat = 0x8004572a
	wdActive    = 0x8000000
)

// freebsdDevice is watchdog(4): a timeout is a power of two of nanoseconds, each call
// sets it anew, and closing disarms nothing.
type freebsdDevice struct {
	fd    int
	is    Info
	power atomic.Int32
}

// OpenDevice arms the watchdogs with the longest timeout that is at most that. They are
// not exclusive: watchdogd must not run beside.
func OpenDevice(path string, timeout time.Duration) (Device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDevice, path, err)
	}
	d := &freebsdDevice{fd: fd, is: Info{Path: path, Identity: "watchdog(4)", Software: !hardware()}}
	if _, err := d.SetTimeout(timeout); err != nil {
		if derr := d.Disarm(); derr != nil {
			return d, errors.Join(err, derr)
		}
		return nil, err
	}
	return d, nil
}

// drivers of hardware watchdogs. The kernel lends itself where none answers.
var drivers = []string{"ichwd", "amdsbwd"}

// hardware says whether one of them is attached: only then does somebody else than the
// kernel's own clock count.
func hardware() bool {
	for _, name := range drivers {
		if _, err := unix.Sysctl("dev." + name + ".0.%driver"); err == nil {
			return true
		}
	}
	return false
}

// ResumeDevice takes over a device that the program before has opened in this process.
// It tells nothing of itself here: the timeout is what each pet sets anew, which State
// says whether it took.
func ResumeDevice(fd int, was Info) Device {
	if was.Timeout < time.Second {
		return nil
	}
	d := &freebsdDevice{fd: fd, is: was}
	d.power.Store(int32(bits.Len64(uint64(was.Timeout)) - 1))
	d.is.Timeout = 1 << d.power.Load()
	return d
}

// SetTimeout implements Device.
func (d *freebsdDevice) SetTimeout(timeout time.Duration) (time.Duration, error) {
	if timeout < time.Second {
		return 0, fmt.Errorf("%w: %s: a timeout of %s, the least is 1 s", ErrDevice, d.is.Path, timeout)
	}
	power := int32(bits.Len64(uint64(timeout)) - 1)
	before := d.power.Swap(power) // the loop may pet it meanwhile
	if !d.Pet() {
		if d.power.Store(before); before > 0 {
			d.Pet() // it goes on as it did, if it does
		}
		return 0, fmt.Errorf("%w: %s takes no timeout of 2^%d ns; no watchdog counts now", ErrDevice, d.is.Path, power)
	}
	d.is.Timeout = 1 << power
	return d.is.Timeout, nil
}

// Pet implements Device.
func (d *freebsdDevice) Pet() bool {
	return unix.IoctlSetPointerInt(d.fd, wdiocPatPat, wdActive|int(d.power.Load())) == nil
}

// Info implements Device.
func (d *freebsdDevice) Info() Info { return d.is }

// FD implements Device.
func (d *freebsdDevice) FD() int { return d.fd }

// Disarm implements Device.
func (d *freebsdDevice) Disarm() error {
	if err := unix.IoctlSetPointerInt(d.fd, wdiocPatPat, 0); err != nil {
		return fmt.Errorf("%w: %s: disarm: %w", ErrDevice, d.is.Path, err)
	}
	_ = unix.Close(d.fd) // it is closed whatever this says
	return nil
}

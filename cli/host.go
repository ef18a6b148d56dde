package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// host is what is known of the machine, and what may be done to it. To make one opens
// nothing.
type host struct {
	// reset opens what ends it, and says why that cannot be done, "" if it can: of those
	// who look at a host the watchdog alone ends it.
	reset func() (now func(), able string)
	// device opens a watchdog of the kernel; nil: none may be opened.
	device func(path string, timeout time.Duration) (watchdog.Device, error)
	resume func(fd int, was watchdog.Info) watchdog.Device // one that is open already
	first  string                                          // the one to open where any will do
	// facts are what counts against it, whatever guards it.
	facts func() watchdog.Host
	// upgrade lets a program take the place of the one that guards.
	upgrade func(k *watchdog.Keeper, path string) (watchdog.State, error)
	// console shows a text to whoever looks at the host's; nil: nobody does.
	console func() (io.Writer, error)
}

// errUnguarded: the program was not given a host.
var errUnguarded = errors.New("this host may not be guarded from here")

// thisHost is the machine itself.
func thisHost() host {
	return host{
		reset: func() (func(), string) {
			r := watchdog.NewReset()
			return r.Now, r.Able()
		},
		device: watchdog.OpenDevice, resume: watchdog.ResumeDevice, first: watchdog.DefaultDevice,
		facts: watchdog.ThisHost, upgrade: (*watchdog.Keeper).Upgrade, console: watchdog.OpenConsole,
	}
}

// MainWithReset is Main with something else in place of a reset of the host, and without
// any watchdog device. It is for tests that run the command line as a process: nothing in
// a test may reboot the machine that it runs on, and no flag, variable or file of the
// program may be what keeps it from that.
func MainWithReset(ctx context.Context, args []string, stdout, stderr io.Writer, reset func()) int {
	h := host{
		reset: func() (func(), string) { return reset, "" },
		facts: watchdog.ThisHost, upgrade: (*watchdog.Keeper).Upgrade,
	}
	a := &app{stdout: stdout, stderr: stderr, open: openStore, host: func() host { return h }}
	return a.main(ctx, args)
}

// mayOpen says why a device could not be opened, nil if it could. Opening is what arms
// it, so this looks only.
func mayOpen(path string) error {
	i, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case i.Mode()&os.ModeCharDevice == 0:
		return fmt.Errorf("%s is no device", path)
	}
	if err := unix.Access(path, unix.W_OK); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// deviceOf is the device that a watchdog is to have by the daemon's --watchdog.
func (h host) deviceOf(setting string) string {
	switch {
	case setting == config.WatchdogOff, setting == config.WatchdogProcess:
		return deviceNone
	case filepath.IsAbs(setting):
		return setting
	case setting == config.WatchdogDevice, setting == config.WatchdogRequired:
		return h.first
	}
	return deviceAuto
}

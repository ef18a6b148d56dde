// Package boottime reads the host's own clock that all durations of the lease
// are measured on. It counts from the host's boot, goes on while the host is
// suspended (where the system has such a clock), and no one sets it.
//
// Promised: within one boot it never goes back. Not promised: that two hosts'
// clocks agree on anything.
package boottime

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since boot. A system whose kernel has no such clock cannot
// run this program at all, hence the panic.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic(fmt.Sprintf("boot-time clock: %v", err))
	}
	return time.Duration(ts.Nano())
}

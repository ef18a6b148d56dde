package boottime

import "golang.org/x/sys/unix"

// FreeBSD's monotonic clock; hosts that run VMs there do not suspend.
const clock = unix.CLOCK_MONOTONIC

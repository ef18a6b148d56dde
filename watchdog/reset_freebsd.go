package watchdog

import "golang.org/x/sys/unix"

// From sys/reboot.h: reboot by itself, without sync.
const rebootNoSync = 0x4

// NewReset makes one by reboot(2), which wants root.
func NewReset() *Reset {
	return &Reset{sysrq: -1, kmsg: -1, write: unix.Write, reboot: func() {
		_, _, _ = unix.Syscall(unix.SYS_REBOOT, rebootNoSync, 0, 0)
	}}
}

// Able says why this process could not end the host, "" if it can.
func (r *Reset) Able() string {
	if unix.Geteuid() != 0 {
		return "it may not call reboot(2): it has to run as root"
	}
	return ""
}

package watchdog

import "golang.org/x/sys/unix"

// NewReset opens what a reset needs: magic SysRq first, which asks nothing of the rest
// of the kernel, then reboot(2). Both want root.
func NewReset() *Reset {
	open := func(path string, flags int) int {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|flags, 0)
		if err != nil {
			return -1
		}
		return fd
	}
	return &Reset{
		sysrq: open("/proc/sysrq-trigger", 0), kmsg: open("/dev/kmsg", unix.O_NONBLOCK), write: unix.Write,
		reboot: func() { _ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) },
	}
}

// Able says why this process could not end the host, "" if it can.
func (r *Reset) Able() string {
	if r.sysrq < 0 && unix.Geteuid() != 0 {
		return "it may neither write to /proc/sysrq-trigger nor call reboot(2): it has to run as root"
	}
	return ""
}

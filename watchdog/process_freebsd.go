package watchdog

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From sys/rtprio.h and sys/procctl.h.
const (
	rtpSet      = 1
	rtpRealtime = 2
	sprotect    = 1
	protectSet  = 1
	idTypePID   = 0
)

type rtprio struct{ kind, prio uint16 }

// prioritize gives the calling thread realtime priority.
func prioritize() error {
	p := rtprio{rtpRealtime, 0}
	if _, _, errno := unix.Syscall(unix.SYS_RTPRIO_THREAD, rtpSet, 0, uintptr(unsafe.Pointer(&p))); errno != 0 {
		return fmt.Errorf("realtime priority: %w", errno)
	}
	return nil
}

// protect keeps the process from being paged out or chosen when memory runs short.
func protect() error {
	var problems []error
	if err := unix.Mlockall(unix.MCL_CURRENT); err != nil {
		problems = append(problems, fmt.Errorf("memory lock: %w", err))
	}
	flags := int32(protectSet)
	if _, _, errno := unix.Syscall6(unix.SYS_PROCCTL, idTypePID, 0, sprotect, uintptr(unsafe.Pointer(&flags)), 0, 0); errno != 0 {
		problems = append(problems, fmt.Errorf("memory shortage: %w", errno))
	}
	return errors.Join(problems...)
}

// nap lets the thread sleep, without the runtime's timers.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // woken early it only looks more often
}

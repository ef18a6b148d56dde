package watchdog

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// realtime is the priority of the loop's thread: above all that is not itself
// realtime, below the kernel's own threads.
const realtime = 50

// prioritize puts the calling thread under SCHED_RR.
func prioritize() error {
	err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: realtime}, 0)
	if err != nil {
		return fmt.Errorf("realtime priority: %w", err)
	}
	return nil
}

// protect keeps the process from being paged out or chosen when memory runs short. Pages
// are locked as they are touched: a plain lock of all would hold what is never used.
func protect() error {
	var problems []error
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		problems = append(problems, fmt.Errorf("memory lock: %w", err))
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0); err != nil {
		problems = append(problems, fmt.Errorf("memory shortage: %w", err))
	}
	return errors.Join(problems...)
}

// nap lets the thread sleep, without the runtime's timers.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // woken early it only looks more often
}

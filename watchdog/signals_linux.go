package watchdog

import "golang.org/x/sys/unix"

// holdSignals keeps this thread, and the program that replaces this one, from being ended
// by a signal until that asks for it: the runtime lets it through then.
func holdSignals() (restore func()) {
	var set, before unix.Sigset_t
	set.Val[0] = 1<<(unix.SIGTERM-1) | 1<<(unix.SIGINT-1) | 1<<(unix.SIGHUP-1)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &set, &before) != nil {
		return func() {}
	}
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }
}

package watchdog

import (
	"fmt"
	"time"
)

// Host is what matters of the machine.
type Host struct {
	// Guest says why it may be one that can be paused; "" is that it is none.
	Guest string `json:"guest,omitempty"`
	// Suspends says how it could sleep; "" is that it cannot.
	Suspends string `json:"suspends,omitempty"`
}

// stale is how long ago the loop may have turned last, for it to be taken to turn.
const stale = time.Second

// Unproved says why this host's silence proves nothing, "" if after its deadline and
// the device's timeout it has certainly ended. Each condition is of what was answered:
// nothing is taken from what was asked for. w is the most that the timings leave to the
// device, now is of the boot-time clock.
func Unproved(s State, h Host, w, now time.Duration) string {
	switch {
	case s.Device == nil:
		return "no watchdog device is open"
	case s.Device.Software:
		return fmt.Sprintf("%s (%s) is software: a hard lockup of the kernel stops it too", s.Device.Path, s.Device.Identity)
	case s.Device.CloseStops:
		return fmt.Sprintf("%s stops when whoever holds it dies", s.Device.Path)
	case s.Device.Timeout <= 0 || s.Device.Timeout > w:
		return fmt.Sprintf("%s waits for %s, the timings leave it %s", s.Device.Path, s.Device.Timeout, w)
	case s.PetFails > 0:
		return fmt.Sprintf("%s did not take the last pets", s.Device.Path)
	case s.Action != ActionReboot:
		return fmt.Sprintf("the fence action is %s", s.Action)
	case s.Passed || !s.Armed || s.Deadline <= now:
		return "it is not armed"
	case now-s.Ticked > stale:
		return fmt.Sprintf("its loop has not turned for %s", now-s.Ticked)
	}
	return Hopeless(h)
}

// Hopeless says why no watchdog could prove anything of this host, "" if one may.
func Hopeless(h Host) string {
	switch {
	case h.Guest != "":
		return "this host is a guest, which can be paused: " + h.Guest
	case h.Suspends != "":
		return "this host can be suspended: " + h.Suspends
	}
	return ""
}

// Accepted says why a watchdog does not even do what it can, "" if it does: what is left
// of Unproved where an operator vouches for the host.
func Accepted(s State, now time.Duration) string {
	switch {
	case s.Action != ActionReboot:
		return fmt.Sprintf("the fence action is %s", s.Action)
	case s.Passed || !s.Armed || s.Deadline <= now:
		return "it is not armed"
	case now-s.Ticked > stale:
		return fmt.Sprintf("its loop has not turned for %s", now-s.Ticked)
	case s.Device == nil && s.Able != "":
		return s.Able
	}
	return ""
}

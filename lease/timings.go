package lease

import (
	"fmt"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Timings are a cluster's durations; see record.Timings.
type Timings = record.Timings

// The defaults, and the bounds within which timings are accepted.
const (
	DefaultInterval = time.Second
	DefaultTimeout  = 30 * time.Second
	MinInterval     = 50 * time.Millisecond
	MaxTimeout      = 24 * time.Hour
	// MinDevice is the takeover timeout below which no watchdog device is armed.
	MinDevice = 5 * time.Second
	// perTimeout is how many intervals a timeout has at least.
	perTimeout = 10
	// minMargin is the part of the timeout that the margin has at least, so that
	// clocks whose rates differ by 1 % either way do not matter.
	minMargin = 50
)

// NewTimings derives all timings from the takeover timeout T and the interval
// I: S = T/5, K = T/10, W = the whole seconds within T/6 (0 below 5 s), M =
// T/10, D = the rest.
func NewTimings(timeout, interval time.Duration) (Timings, error) {
	t := Timings{
		Interval: interval, Timeout: timeout,
		StopGrace: timeout / 5, Kill: timeout / 10, Margin: timeout / 10,
	}
	if timeout >= MinDevice {
		t.Watchdog = max((timeout / 6).Truncate(time.Second), time.Second)
	}
	t.Renew = timeout - t.StopGrace - t.Kill - t.Watchdog - t.Margin
	return t, CheckTimings(t)
}

// CheckTimings refuses timings under which a takeover could come before the
// old holder has stopped, or a single lost beat would end a lease.
func CheckTimings(t Timings) error {
	switch {
	case t.Interval < MinInterval:
		return fmt.Errorf("interval %s is shorter than %s", t.Interval, MinInterval)
	case t.Timeout > MaxTimeout:
		return fmt.Errorf("timeout %s is longer than %s", t.Timeout, MaxTimeout)
	case max(t.Interval, t.Renew, t.StopGrace, t.Kill, t.Watchdog, t.Margin) > t.Timeout:
		return fmt.Errorf("one of the timings is longer than the timeout %s", t.Timeout)
	case t.Timeout < perTimeout*t.Interval:
		return fmt.Errorf("timeout %s is less than %d intervals of %s", t.Timeout, perTimeout, t.Interval)
	case t.StopGrace <= 0 || t.Kill <= 0 || t.Margin <= 0 || t.Watchdog < 0:
		return fmt.Errorf("stop grace %s, kill %s and margin %s have to be longer than nothing", t.StopGrace, t.Kill, t.Margin)
	case t.Margin < t.Timeout/minMargin:
		return fmt.Errorf("margin %s is less than a %dth of the timeout %s: clocks may differ by 1 %%", t.Margin, minMargin, t.Timeout)
	case t.Renew < 2*t.Interval:
		return fmt.Errorf("renew deadline %s is less than two intervals of %s", t.Renew, t.Interval)
	case t.Renew+t.StopGrace+t.Kill+t.Watchdog+t.Margin > t.Timeout:
		return fmt.Errorf("renew %s + stop %s + kill %s + watchdog %s + margin %s is more than the timeout %s",
			t.Renew, t.StopGrace, t.Kill, t.Watchdog, t.Margin, t.Timeout)
	}
	return nil
}

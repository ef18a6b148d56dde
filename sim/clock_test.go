package sim

import (
	"math"
	"sync/atomic"
	"time"
)

// clock is a host's boot-time clock in one boot. Reading it takes no lock,
// since nodes read it while they hold theirs.
type clock struct {
	began time.Time     // in true time
	base  time.Duration // shown then
	rate  float64       // of true time
	stood atomic.Pointer[standstill]
}

// standstill is how long a clock has stood, and since when it does.
type standstill struct {
	lost  time.Duration
	since time.Time // zero: it goes
}

func newClock(base time.Duration, rate float64) *clock {
	c := &clock{began: time.Now(), base: base, rate: rate}
	c.stood.Store(&standstill{})
	return c
}

func (c *clock) now() time.Duration {
	t, s := time.Now(), c.stood.Load()
	if !s.since.IsZero() {
		t = s.since
	}
	return c.base + time.Duration(float64(t.Sub(c.began)-s.lost)*c.rate)
}

// until is the true time that passes until the clock shows d.
func (c *clock) until(d time.Duration) time.Duration {
	left := float64(d-c.now()) / c.rate
	return time.Duration(math.Ceil(min(left, float64(1000*time.Hour))))
}

// stop and run make it stand still, as a hypervisor does with a paused guest's.
func (c *clock) stop() {
	if s := c.stood.Load(); s.since.IsZero() {
		c.stood.Store(&standstill{s.lost, time.Now()})
	}
}

func (c *clock) run() {
	if s := c.stood.Load(); !s.since.IsZero() {
		c.stood.Store(&standstill{lost: s.lost + time.Since(s.since)})
	}
}

package report

import (
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
)

// step is by which takeover timeouts are tried.
const step = time.Second

// Quiet is the smallest takeover timeout, in whole seconds, under which nothing of
// what was recorded would have happened: no renewal here would have come after its
// deadline, and nobody's silence would have lasted long enough to be judged. It is
// false if there is none.
func (r *Report) Quiet() (lease.Timings, bool) {
	interval := r.Timings.Interval
	if interval < lease.MinInterval {
		return lease.Timings{}, false
	}
	var peers time.Duration
	for _, p := range r.Peers {
		peers = max(peers, p.Worst.Length)
	}
	for timeout := max(peers.Truncate(step), step); timeout <= lease.MaxTimeout; timeout += step {
		t, err := lease.NewTimings(timeout, interval)
		if err == nil && r.Gap.Length < t.Renew && peers < timeout {
			return t, true
		}
	}
	return lease.Timings{}, false
}

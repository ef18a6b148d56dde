package report

import (
	"math"
	"time"
)

// A histogram's buckets: their bounds grow by a fourth root of two each, from the
// least to well over ten minutes.
const (
	buckets   = 96
	perOctave = 4
	least     = 50 * time.Microsecond
)

// Histogram counts durations on a logarithmic scale.
type Histogram struct {
	Counts [buckets]uint64 `json:"counts"`
	Worst  time.Duration   `json:"worst"`
	At     time.Time       `json:"at,omitzero"` // of the worst
}

func (h *Histogram) add(d time.Duration, at time.Time) {
	h.Counts[bucket(d)]++
	if d > h.Worst {
		h.Worst, h.At = d, at
	}
}

// bucket is the one whose bound is the smallest that is not less than d.
func bucket(d time.Duration) int {
	if d <= least {
		return 0
	}
	return min(int(math.Ceil(perOctave*math.Log2(float64(d)/float64(least)))), buckets-1)
}

func bound(bucket int) time.Duration {
	return time.Duration(float64(least) * math.Exp2(float64(bucket)/perOctave))
}

// Total is how many were counted.
func (h *Histogram) Total() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile is what the part q of all is not longer than, at most a fifth too long;
// 0 when none were counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	left := uint64(math.Ceil(q * float64(h.Total())))
	for i, c := range h.Counts {
		if c >= left && c > 0 {
			if i == buckets-1 {
				return h.Worst
			}
			return min(bound(i), h.Worst)
		}
		left -= min(c, left)
	}
	return 0
}

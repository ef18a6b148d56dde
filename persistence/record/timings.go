package record

import "time"

// Timings are the durations of a cluster, as its ledger holds them and as each
// heartbeat advertises them. Package lease makes and checks them.
type Timings struct {
	Interval  time.Duration `json:"interval"`   // I, between heartbeats
	Timeout   time.Duration `json:"timeout"`    // T, takeover
	Renew     time.Duration `json:"renew"`      // D, renew deadline
	StopGrace time.Duration `json:"stop_grace"` // S
	Kill      time.Duration `json:"kill"`       // K, kill and verify
	Watchdog  time.Duration `json:"watchdog"`   // W
	Margin    time.Duration `json:"margin"`     // M
}

// Max takes the larger of each: what an observer uses, who must never judge
// earlier than the observed advertised.
func (t Timings) Max(o Timings) Timings {
	return Timings{
		Interval: max(t.Interval, o.Interval), Timeout: max(t.Timeout, o.Timeout),
		Renew: max(t.Renew, o.Renew), StopGrace: max(t.StopGrace, o.StopGrace),
		Kill: max(t.Kill, o.Kill), Watchdog: max(t.Watchdog, o.Watchdog), Margin: max(t.Margin, o.Margin),
	}
}

// Stopped is how long after the date of its last renewal a node with proof
// runs nothing any more, its own stopping done: D + S + K.
func (t Timings) Stopped() time.Duration { return t.Renew + t.StopGrace + t.Kill }

// InForce are the timings that a ledger holds, and what came before them.
type InForce struct {
	Timings
	Seq    uint64  // number of the entry that set them, 0 for the founding one
	Before Timings // the longest ever in force before
}

// Of are the timings by which others judge a node of whose heartbeats last is the
// newest that they have read, nil if none ever was: the larger of the ledger's and
// of what it advertised. A node that was not seen to have read the entry which set
// the ledger's may hold a lease by any that came before, advertised by a heartbeat
// that another has hidden.
func (f InForce) Of(last *Heartbeat) Timings {
	t := f.Timings
	if last != nil {
		t = t.Max(last.Timings)
	}
	if last == nil || last.LedgerSeq < f.Seq {
		t = t.Max(f.Before)
	}
	return t
}

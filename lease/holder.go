package lease

import (
	"sync"
	"time"
)

// Holder is this node's own lease under one incarnation. A loss ends it for
// good: the node takes a new incarnation and with it a new Holder. It is safe
// for concurrent use, so that every act can ask it just before.
type Holder struct {
	incarnation string

	mu    sync.Mutex
	begun bool          // a renewal was sent
	held  bool          // one was answered in time
	until time.Duration // the deadline; of the first renewal while nothing is held yet
	over  bool
}

// NewHolder begins an incarnation that holds nothing yet.
func NewHolder(incarnation string) *Holder { return &Holder{incarnation: incarnation} }

// Incarnation names the holding.
func (h *Holder) Incarnation() string { return h.incarnation }

// Renewal is a request under way. Its date is from before it was sent.
type Renewal struct {
	incarnation string
	dated       time.Duration
	renew       time.Duration
}

// Dated is the instant from which the renewal counts.
func (r Renewal) Dated() time.Duration { return r.dated }

// Begin dates a renewal. Call it before the ledger's tail is read and the
// heartbeat sent; t are the timings that this very heartbeat advertises. Timings
// that are shorter than before shorten the lease at once: from the moment that
// the heartbeat can be read, others judge by them, answered or not.
func (h *Holder) Begin(now time.Duration, t Timings) Renewal {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun {
		h.until = min(h.until, now+t.Renew)
	} else {
		h.begun, h.until = true, now+t.Renew
	}
	return Renewal{incarnation: h.incarnation, dated: now, renew: t.Renew}
}

// Answered counts the renewal if its answer came, at now, before the deadline
// in force, and says whether it did. Before the first answer that is the deadline
// of the first renewal: others may have seen its record. An incarnation that is
// over stays over.
func (h *Holder) Answered(r Renewal, now time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.incarnation != h.incarnation || !h.begun || h.ended(now) {
		return false
	}
	h.held, h.until = true, max(h.until, r.dated+r.renew)
	return true
}

// Valid says whether the lease is held at now. From the first time that it is
// asked after the deadline the incarnation is over.
func (h *Holder) Valid(now time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held && !h.ended(now)
}

// Until is the deadline, 0 while nothing is held or all is over.
func (h *Holder) Until() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || !h.held {
		return 0
	}
	return h.until
}

// Over says whether the incarnation has ended by now.
func (h *Holder) Over(now time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended(now)
}

// Held says whether it ever was.
func (h *Holder) Held() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

// End gives the incarnation up.
func (h *Holder) End() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
}

func (h *Holder) ended(now time.Duration) bool {
	if h.begun && now >= h.until {
		h.over = true
	}
	return h.over
}

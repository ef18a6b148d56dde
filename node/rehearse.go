package node

import (
	"errors"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// rehearse hands deadlines to a watchdog that does nothing when one passes, and says what
// another would have done.
func (h *host) rehearse(dated time.Duration, hb *record.Heartbeat) {
	s := h.n.state()
	if h.rehearsal == nil {
		return
	}
	var err error
	switch {
	case s.Frozen || s.Debug || !s.Armed || h.leaving():
		_, err = h.rehearsal.Disarm()
	case s.Members[h.n.cfg.Name].Admitted == hb.Incarnation:
		_, err = h.rehearsal.Extend(dated+hb.Timings.Stopped(), 0, hb.Incarnation)
	}
	switch {
	case errors.Is(err, watchdog.ErrPassed):
		h.log.Warn().Msg("a deadline has passed: but for --fence-action log this host would have been ended")
		if _, err := h.rehearsal.Acknowledge(); err != nil {
			h.log.Warn().Err(err).Msg("the watchdog does not answer")
		}
	case err != nil:
		h.log.Warn().Err(err).Msg("the watchdog does not answer")
	}
}

// leaving: this node was told to end.
func (h *host) leaving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.quitting
}

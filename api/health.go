package api

import (
	"fmt"
	"net/http"

	"github.com/hoster-ha/hoster-ha/node"
)

// health is the body of the health checks.
type health struct {
	Node  string `json:"node"`
	State string `json:"state"`
	// Epoch is that of the node's mastership; of others the newest it knows.
	Epoch  uint64 `json:"epoch"`
	Reason string `json:"reason,omitempty"` // why the answer is 503
}

// health asks the node what it is at this instant: mastership first, so that body
// and code never contradict each other.
func (s *Server) health() (h health, master bool) {
	o := s.node.Overview()
	h = health{Node: o.Self, State: node.StateMaster}
	if h.Epoch, master = s.node.Primary(); !master {
		h.State, h.Epoch = s.node.State(), o.Epoch
	}
	return h, master
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	h, _ := s.health()
	answer(w, http.StatusOK, h)
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	h, _ := s.health()
	if _, held := s.node.Lease(); !held {
		h.Reason = s.noLease(h)
	}
	tell(w, h)
}

func (s *Server) primary(w http.ResponseWriter, _ *http.Request) {
	h, master := s.health()
	if !master {
		h.Reason = "this node is not the master"
	}
	tell(w, h)
}

func (s *Server) standby(w http.ResponseWriter, _ *http.Request) {
	h, master := s.health()
	_, held := s.node.Lease()
	switch {
	case master:
		h.Reason = "this node is the master"
	case !held:
		h.Reason = s.noLease(h)
	}
	tell(w, h)
}

func tell(w http.ResponseWriter, h health) {
	code := http.StatusOK
	if h.Reason != "" {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, h)
}

// noLease says why the node is not ready, with the first alarm if it raises any.
func (s *Server) noLease(h health) string {
	reason := fmt.Sprintf("this node holds no lease (%s)", h.State)
	if alarms := s.node.Alarms(); len(alarms) > 0 {
		reason += ": " + alarms[0]
	}
	return reason
}

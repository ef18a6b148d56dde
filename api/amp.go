package api

import (
	"net/http"
	"time"
)

// plane is AMP's description of a cluster. Times are epoch milliseconds.
type plane struct {
	PlaneID  string               `json:"planeId"`
	OwnID    string               `json:"ownId"`
	MasterID string               `json:"masterId"`
	Nodes    map[string]planeNode `json:"nodes"`
	Links    struct{}             `json:"links"`
}

type planeNode struct {
	NodeID  string `json:"nodeId"`
	NodeURI string `json:"nodeUri"`
	Status  string `json:"status"`
	// LocalTimestamp is the node's last sign of life by its own clock,
	// RemoteTimestamp when it was seen, by the answering node's.
	LocalTimestamp  int64 `json:"localTimestamp"`
	RemoteTimestamp int64 `json:"remoteTimestamp"`
	Priority        int   `json:"priority"`
}

func (s *Server) state(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.node.State())
}

func (s *Server) states(w http.ResponseWriter, _ *http.Request) {
	o, now := s.node.Overview(), s.wall()
	p := plane{PlaneID: o.Cluster, OwnID: o.Self, MasterID: o.Master, Nodes: map[string]planeNode{}}
	for _, peer := range o.Peers {
		p.Nodes[peer.Name] = planeNode{
			NodeID: peer.Name, NodeURI: peer.URL, Status: peer.State, Priority: peer.Priority,
			LocalTimestamp: millis(peer.Wall), RemoteTimestamp: millis(now.Add(-peer.Age)),
		}
	}
	answer(w, http.StatusOK, p)
}

// millis is 0 for a time that is not known.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

package sim

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// ask is what an operator asks of the cluster:
//
//	ask arm | freeze
//	ask promote H [force] | demote H | forget H | unfence H
//	ask priority H n
//	ask timings T I
//	ask confirm-fenced H       the host's power is cut first: the word is true
func (w *world) ask(args []string) error {
	r := record.Request{Action: args[0]}
	if len(args) > 1 && r.Action != record.ActTimings {
		if r.Node = args[1]; w.hosts[r.Node] == nil {
			return fmt.Errorf("unknown host %q", r.Node)
		}
	}
	switch r.Action {
	case record.ActArm, record.ActFreeze, record.ActDemote, record.ActForget, record.ActUnfence:
	case record.ActPromote:
		r.Force = len(args) > 2
	case record.ActPriority:
		var err error
		if r.Priority, err = strconv.Atoi(args[2]); err != nil {
			return err
		}
	case record.ActTimings:
		t, err := parseTimings(args[1:])
		if err != nil {
			return err
		}
		r.Timings = &t
	case record.ActConfirmFenced:
		w.hosts[r.Node].powerOff()
		w.speakOf(&r)
	default:
		return errors.New("an operator asks no such thing")
	}
	e := w.ledger.tail.Load()
	if e == nil {
		return nil // there is no cluster yet
	}
	r.Cluster, r.ID, r.By, r.Time, r.Seen = e.Cluster, record.NewID(), "operator", time.Now(), e.Seq
	data, err := record.Seal(record.KindRequest, r)
	if err != nil {
		return err
	}
	return w.store.write("create", record.RequestKey(r.ID), data, "operator")
}

// speakOf binds the operator's word to what can be read of the node, as the
// command does.
func (w *world) speakOf(r *record.Request) {
	m := w.ledger.state().Members[r.Node]
	switch hb := w.heartbeat(r.Node); {
	case hb != nil:
		r.Incarnation, r.Heartbeat = hb.Incarnation, hb.Seq
	case m.Fence != nil && m.Fence.Incarnation != "":
		r.Incarnation, r.Heartbeat = m.Fence.Incarnation, m.Fence.Heartbeat
	default:
		r.Incarnation = m.Admitted
	}
}

func parseTimings(args []string) (lease.Timings, error) {
	timeout, err := time.ParseDuration(args[0])
	if err != nil {
		return lease.Timings{}, err
	}
	interval, err := time.ParseDuration(args[1])
	if err != nil {
		return lease.Timings{}, err
	}
	return lease.NewTimings(timeout, interval)
}

// heartbeat is what lies in the store under a node's name; nil if it cannot be
// read.
func (w *world) heartbeat(n string) *record.Heartbeat {
	e := w.ledger.tail.Load()
	if e == nil {
		return nil
	}
	hb, err := record.OpenHeartbeat(e.Cluster, n, w.store.read(record.HeartbeatKey(n)))
	if err != nil {
		return nil
	}
	return hb
}

// tend is what a patient operator does once the faults are over: all nodes are
// up, the cluster is armed, what only a word of theirs ends is ended. A host whose
// memory was lost is confirmed to be off, forgotten, and joins anew.
func (w *world) tend() {
	s := w.ledger.state()
	if s.Master == "" {
		// Founded by a host that waits to be promoted.
		for _, n := range sortedKeys(s.Members) {
			if m := s.Members[n]; m.Candidate() && w.hosts[n].spec.promotion == node.PromotionManual {
				_ = w.ask([]string{record.ActPromote, n})
			}
		}
	}
	if s.Master != "" && (!s.Armed || s.Frozen) {
		_ = w.ask([]string{record.ActArm})
	}
	for _, n := range w.names {
		h := w.hosts[n]
		m, member := s.Members[n]
		switch {
		case h.forgets && !member:
			h.forgets = false
		case h.forgets && (h.owns(&s) || m.Fence == nil || m.Fence.Proof == ""):
			_ = w.ask([]string{record.ActConfirmFenced, n})
			continue
		case h.forgets:
			_ = w.ask([]string{record.ActForget, n})
			continue
		case m.Fence != nil && m.Fence.Manual:
			_ = w.ask([]string{record.ActUnfence, n})
		}
		h.powerOn()
		if p := h.live(); p != nil && h.left() {
			p.kill() // and started with the new address
		}
		if err := h.start(); err != nil {
			w.tell("%s does not start: %v", n, err)
		}
	}
}

func (h *host) owns(s *ledger.State) bool {
	for _, v := range s.VMs {
		if v.Owner == h.name {
			return true
		}
	}
	return false
}

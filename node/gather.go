package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// readInventories reads the inventories whose number a heartbeat says is new.
func (n *Node) readInventories(ctx context.Context, tail ledger.Stored, v view) {
	for m := range n.inventories {
		if _, ok := tail.State.Members[m]; !ok {
			delete(n.inventories, m)
		}
	}
	for _, m := range slices.Sorted(maps.Keys(tail.State.Members)) {
		hb := v.own
		if m != n.cfg.Name {
			hb = v.nodes[m].Last
		}
		if hb == nil || hb.Inventory == 0 {
			if hb != nil || n.inventories[m] != nil {
				continue
			}
		}
		if old := n.inventories[m]; old != nil && old.Incarnation == hb.Incarnation && old.Number >= hb.Inventory {
			continue
		}
		obj, err := n.lanes.requests.Get(ctx, record.InventoryKey(m))
		if errors.Is(err, persistence.ErrNotFound) {
			continue
		}
		var inv *record.Inventory
		if err == nil {
			inv, err = record.OpenInventory(n.cluster, m, obj.Value)
		}
		if err != nil {
			n.log.Warn().Err(err).Msgf("the inventory of %s cannot be read", m)
			continue
		}
		n.inventories[m] = inv
	}
}

// noteOrders dates the orders of failovers from when this node first read them.
func (n *Node) noteOrders(tail ledger.Stored) {
	live := map[uint64]bool{}
	for _, f := range tail.State.Failovers {
		live[f.Order] = true
		for _, mv := range f.Moves {
			live[mv.Stopped] = true
		}
	}
	for o := range live {
		if _, ok := n.orders[o]; !ok {
			n.orders[o] = n.now()
		}
	}
	for o := range n.orders {
		if !live[o] {
			delete(n.orders, o)
		}
	}
}

// listRequests reads the requests that lie in the store, in the order of
// asking. One that cannot be read is an alarm and stops none of the others.
func (n *Node) listRequests(ctx context.Context) []*record.Request {
	names, err := n.lanes.requests.List(ctx, "requests")
	if err != nil {
		n.log.Warn().Err(err).Msg("requests cannot be listed")
		return nil
	}
	var list []*record.Request
	var bad []string
	seen := map[string]bool{}
	for _, name := range names {
		id, ok := strings.CutSuffix(name, ".json")
		if !ok {
			continue
		}
		seen[id] = true
		r := n.asked[id]
		if r == nil {
			obj, err := n.lanes.requests.Get(ctx, record.RequestKey(id))
			if err != nil {
				continue
			}
			if r, err = record.OpenRequest(n.cluster, id, obj.Value); err != nil {
				bad = append(bad, fmt.Sprintf("request %s cannot be read: %v", id, err))
				continue
			}
			n.asked[id] = r
		}
		list = append(list, r)
	}
	for id := range n.asked {
		if !seen[id] {
			delete(n.asked, id)
		}
	}
	n.setAlarms("requests", bad)
	return list
}

// readRequests gives the planner all requests, with why some are void.
func (n *Node) readRequests(ctx context.Context, tail ledger.Stored) []failover.Asked {
	var all []failover.Asked
	for _, r := range n.listRequests(ctx) {
		a := failover.Asked{Request: r}
		if _, answered := tail.State.Answers[r.ID]; !answered {
			var err error
			if a.Void, a.Done, err = n.void(ctx, r, tail); err != nil {
				n.log.Warn().Err(err).Msgf("request %s waits", r.ID)
				continue
			}
		}
		all = append(all, a)
	}
	return all
}

// note is what voiding needs to know of an entry.
type note struct {
	claim    bool
	touched  []string
	requests []string
}

// mostSeen is how many entries a request may be behind: older ones are void.
const mostSeen = 1000

// void says why a request does not hold any more: an entry after the one its
// author saw touched its node, or was a claim. It is done if an entry names it.
func (n *Node) void(ctx context.Context, r *record.Request, tail ledger.Stored) (why string, done bool, err error) {
	switch r.Action {
	case record.ActJoin, record.ActLeave:
		return "", false, nil // bound by the machine, and by the incarnation
	}
	if r.Seen > tail.Seq {
		return fmt.Sprintf("it saw entry %d, and the ledger ends at %d", r.Seen, tail.Seq), false, nil
	}
	if tail.Seq-r.Seen > mostSeen {
		return fmt.Sprintf("it saw entry %d, and the ledger has gone on to %d", r.Seen, tail.Seq), false, nil
	}
	survives := r.Action == record.ActPromote || r.Action == record.ActConfirmFenced
	for seq := tail.Seq; seq > r.Seen; {
		e, prev, err := n.noteOf(ctx, seq)
		if err != nil {
			return "", false, err
		}
		switch {
		case slices.Contains(e.requests, r.ID):
			return "", true, nil
		case e.claim && !survives:
			why = fmt.Sprintf("entry %d is a newer claim", seq)
		case r.Node != "" && (!e.claim || r.Action == record.ActConfirmFenced) && slices.Contains(e.touched, "node:"+r.Node):
			why = fmt.Sprintf("entry %d has changed %s since", seq, r.Node)
		}
		seq = prev
	}
	return why, false, nil
}

func (n *Node) noteOf(ctx context.Context, seq uint64) (note, uint64, error) {
	if e, ok := n.notes[seq]; ok {
		return e, seq - 1, nil
	}
	e, err := ledger.Read(ctx, n.lanes.requests, n.cluster, seq)
	if err != nil {
		return note{}, 0, err
	}
	if len(n.notes) > 2*mostSeen {
		clear(n.notes)
	}
	some := note{claim: e.Kind == ledger.KindClaim, touched: e.Touched, requests: e.Requests}
	if e.Kind != ledger.KindRepair {
		n.notes[seq] = some
	}
	return some, e.PrevSeq, nil
}

// promotion is a request that names this node as master, when no other master
// is there to execute it.
func (n *Node) promotion(ctx context.Context, tail ledger.Stored) *record.Request {
	for _, r := range n.listRequests(ctx) {
		if r.Action != record.ActPromote || r.Node != n.cfg.Name {
			continue
		}
		if _, done := tail.State.Answers[r.ID]; done {
			continue
		}
		if void, done, err := n.void(ctx, r, tail); err == nil && void == "" && !done {
			return r
		}
	}
	return nil
}

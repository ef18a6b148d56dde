package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// lookAll reads every other member's heartbeat. One that cannot be read never
// stops the others from being.
func (n *Node) lookAll(ctx context.Context) {
	s := n.ledger.Tail().State
	n.observer.Forget(func(m string) bool { _, ok := s.Members[m]; return ok })
	// The next renewal must not wait for slow reads.
	ctx, cancel := context.WithTimeoutCause(ctx, n.timings().Interval/2, errors.New("no answer within half an interval"))
	defer cancel()
	var histories []string
	for _, m := range n.inTurn(s.Members) {
		if m == n.cfg.Name {
			continue
		}
		if err := n.look(ctx, m); err != nil {
			n.log.Debug().Err(err).Msgf("the heartbeat of %s was not read", m)
			continue
		}
		if text := n.differs(m); text != "" {
			histories = append(histories, text)
		}
	}
	// Read again first: only what stays is a fork, or lost. An entry that others
	// have read counts as long as this node's tail has not come so far.
	n.forked++
	if len(histories) == 0 || (n.missing != 0 && n.ledger.Tail().Seq >= n.missing) {
		n.forked, n.missing = 0, 0
	}
	if n.forked < 3 {
		histories = nil
	}
	n.setAlarms("history", histories)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.view.forked = ""
	if len(histories) > 0 {
		n.view.forked = histories[0]
	}
}

// inTurn lists the members, beginning with another one each beat: where reads are so
// slow that there is time for some only, each has its turn.
func (n *Node) inTurn(members map[string]ledger.Member) []string {
	names := slices.Sorted(maps.Keys(members))
	if len(names) == 0 {
		return nil
	}
	first := int(n.seq % uint64(len(names)))
	return slices.Concat(names[first:], names[:first])
}

// look reads one heartbeat. Only an answered read counts, one that finds
// nothing included.
func (n *Node) look(ctx context.Context, node string) error {
	r := lease.Reading{Begun: n.now()}
	obj, err := n.lanes.members.Get(ctx, record.HeartbeatKey(node))
	r.Ended = n.now()
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		r.Problem = errors.New("there is none")
	case err != nil:
		return err
	default:
		r.Raw = record.Hash(obj.Value)
		r.Heartbeat, r.Problem = record.OpenHeartbeat(n.cluster, node, obj.Value)
	}
	before := n.observer.Node(node).Standing
	n.observer.Saw(node, r)
	n.recordLook(node, r)
	n.tell(node, before, n.observer.Node(node).Standing)
	return nil
}

// tell logs the changes that operators look for.
func (n *Node) tell(node string, before, after lease.Standing) {
	switch {
	case before == after:
	case after == lease.Alive:
		n.log.Info().Msgf("registered a new node: %s", node)
	case after == lease.Stale:
		n.log.Warn().Msgf("host has gone offline: %s", node)
	case after == lease.Suspect:
		n.log.Warn().Msgf("the lease of %s is over: no new heartbeat was seen", node)
	case after == lease.Unreadable && before == lease.Unseen:
		n.log.Debug().Msgf("no heartbeat of %s yet: %v", node, n.observer.Node(node).Problem)
	case after == lease.Unreadable:
		n.log.Error().Msgf("the heartbeat of %s is unreadable: %v", node, n.observer.Node(node).Problem)
	}
}

// judge looks once more at the master, at the instant from which its silence
// counts.
func (n *Node) judge(ctx context.Context) {
	master := n.ledger.Tail().State.Master
	if master == "" {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, n.timings().Interval, errors.New("no answer within an interval"))
	defer cancel()
	if master != n.cfg.Name {
		if err := n.look(ctx, master); err != nil {
			return
		}
	}
	n.publish()
}

// differs holds the ledger mark of a heartbeat against this node's ledger.
func (n *Node) differs(node string) string {
	k := n.observer.Node(node)
	if k.Standing != lease.Alive || k.Last == nil {
		return ""
	}
	mark := ledger.Mark{Seq: k.Last.LedgerSeq, Hash: k.Last.LedgerHash}
	switch err := n.ledger.Differs(node, mark); {
	case errors.Is(err, ledger.ErrBehind):
		if n.missing == 0 {
			n.missing = mark.Seq
		}
		return fmt.Sprintf("%s has read ledger entry %d, which this node does not find", node, mark.Seq)
	case err != nil:
		return err.Error()
	}
	return ""
}

package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// decider is what the deciding loop owns.
type decider struct {
	inventories map[string]*record.Inventory
	asked       map[string]*record.Request
	orders      map[uint64]time.Duration // when an order was first read
	notes       map[uint64]note
	vacantSince time.Duration
	wasMaster   uint64 // epoch under which this node decided last
	turns       int    // at which this node was not master
}

// decides runs after each beat: the one place that writes the ledger.
func (n *Node) decides(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.kickDecide:
		}
		n.decide(ctx)
	}
}

func (n *Node) decide(ctx context.Context) {
	if v := n.getView(); v.incarnation != n.getHolder().Incarnation() {
		return // what was observed under a lost lease decides nothing
	}
	epoch, master := n.mastership()
	if n.wasMaster != 0 && (!master || epoch != n.wasMaster) {
		n.log.Warn().Uint64("epoch", n.wasMaster).Msg("stepping down as a cluster manager")
		n.setAlarms("plan", nil)
		n.wasMaster = 0
	}
	// What is decided under a lease ends with it.
	deadline := n.getHolder().Until() - n.now()
	if deadline <= 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, errors.New("the lease has ended"))
	defer cancel()
	if n.getView().doubt() != "" {
		return // this may be another store: nothing is sent there again
	}
	if !n.ledger.Settled() {
		if err := n.ledger.Settle(ctx); err != nil {
			n.log.Warn().Err(err).Msg("the last entry is not settled")
			return
		}
		kick(n.kickBeat)
		return
	}
	n.recordLag(n.ledger.Tail(), n.getView(), master)
	if !master {
		n.elect(ctx)
		return
	}
	n.wasMaster = epoch
	n.vacantSince = 0
	n.plan(ctx)
}

// plan makes the master's next entry.
func (n *Node) plan(ctx context.Context) {
	v := n.getView()
	tail := n.ledger.Tail()
	n.readInventories(ctx, tail, v)
	asked := n.readRequests(ctx, tail)
	n.noteOrders(tail)
	out := failover.Plan(failover.Input{
		Self: n.cfg.Name, Incarnation: n.getHolder().Incarnation(), Tail: tail,
		Now: n.now(), Wall: n.cfg.Clock.Wall(), Nodes: v.nodes, Own: v.own,
		Inventories: n.inventories, Requests: asked,
		Began: v.began, Grace: n.cfg.Grace, Expect: n.cfg.Expect,
		SinceOrder: func(order uint64) time.Duration {
			if at, ok := n.orders[order]; ok {
				return n.now() - at
			}
			return 0
		},
	})
	n.setAlarms("plan", out.Alarms)
	n.recordWould(out.Would)
	for _, id := range out.Drop {
		if err := n.lanes.requests.Delete(ctx, record.RequestKey(id)); err == nil {
			delete(n.asked, id)
		}
	}
	if out.State != nil {
		by := "master"
		if len(out.By) > 0 {
			by = strings.Join(out.By, ", ")
		}
		e := n.ledger.Next(ledger.KindDecide, n.cfg.Name, n.getHolder().Incarnation(), n.cfg.Clock.Wall())
		if e.Seq != tail.Seq+1 {
			return // somebody wrote meanwhile: look again at the next beat
		}
		e.State, e.By, e.Why, e.Requests = *out.State, by, strings.Join(out.Why, "; "), out.Requests
		e.Touched = ledger.Touched(&tail.State, out.State)
		if !n.append(ctx, e) {
			return
		}
	}
	if out.Release {
		n.release(out.Successor)
	}
}

// append writes an entry if this node is still master at this instant, or
// claims to be by this very entry.
func (n *Node) append(ctx context.Context, e *ledger.Entry) bool {
	if n.ledger.Tail().State.Closed {
		return false // nothing follows the entry that closes a ledger
	}
	if e.Kind != ledger.KindClaim {
		if epoch, ok := n.mastership(); !ok || epoch != e.Epoch {
			n.log.Warn().Msg("the mastership ended before an entry was written: nothing is written")
			return false
		}
	}
	err := n.ledger.Append(ctx, e)
	switch {
	case errors.Is(err, persistence.ErrUnknown):
		n.log.Warn().Err(err).Uint64("seq", e.Seq).Str("id", e.ID).Msgf("it is open whether the entry is made: %s", e.Why)
		return false
	case err != nil:
		n.log.Warn().Err(err).Uint64("seq", e.Seq).Str("id", e.ID).Msgf("entry not made: %s", e.Why)
		return false
	}
	n.mu.Lock()
	n.stats.Entries++
	n.mu.Unlock()
	n.log.Info().Uint64("seq", e.Seq).Uint64("epoch", e.Epoch).Str("by", e.By).Msg(e.Why)
	if len(e.Requests) > 0 || slices.ContainsFunc(e.Touched, func(t string) bool {
		vm, ok := strings.CutPrefix(t, "vm:")
		return ok && e.State.VMs[vm].Owner == n.cfg.Name
	}) {
		kick(n.kickBeat) // what starts here starts when the entry has been read back
	}
	kick(n.kickHost)
	return true
}

// release gives the mastership up. From here on this node is not master; the
// next heartbeats tell the others.
func (n *Node) release(successor string) {
	tail := n.ledger.Tail()
	n.mu.Lock()
	n.released, n.heir = tail.Epoch, successor
	n.mu.Unlock()
	kick(n.kickBeat)
}

// elect claims the mastership if it is vacant and this node's turn.
func (n *Node) elect(ctx context.Context) {
	v, tail := n.getView(), n.ledger.Tail()
	now, holder := n.now(), n.getHolder()
	if v.doubt() != "" || !holder.Valid(now) || tail.State.Closed {
		return
	}
	me, member := tail.State.Members[n.cfg.Name]
	if !member || !me.Candidate() {
		return
	}
	vacant, successor := n.vacant(v, tail, holder)
	var promoted *record.Request
	if n.looksForRequests(vacant) {
		promoted = n.promotion(ctx, tail)
	}
	// Asked for by name, a node claims that would not by itself.
	named := promoted != nil || successor == n.cfg.Name
	if !n.claims() && (!named || n.cfg.Mode == ModeHotBackup || n.cfg.Mode == ModeDisabled) {
		return
	}
	if promoted != nil && promoted.Force {
		vacant = true
	}
	if !vacant {
		n.vacantSince = 0
		return
	}
	if n.vacantSince == 0 {
		n.vacantSince = now
	}
	rank, ok := 0, true
	if promoted == nil {
		rank, ok = lease.Rank(n.cfg.Name, successor, n.candidates(v, tail))
	}
	wait := time.Duration(rank) * tail.State.Timings.Interval
	n.mu.Lock()
	if n.released == tail.Epoch && tail.State.Master == n.cfg.Name && promoted == nil {
		// It was given up by this very node: the others first.
		wait += 3 * tail.State.Timings.Interval
	}
	n.mu.Unlock()
	if !ok || now-n.vacantSince < wait {
		return
	}
	n.claim(ctx, tail, promoted)
}

// requestsEvery is how many beats pass between looks at the requests, where listings
// are dear, while another node is master and executes them.
const requestsEvery = 5

// looksForRequests says whether a node that is not master reads what is asked for.
func (n *Node) looksForRequests(vacant bool) bool {
	n.turns++
	return vacant || !n.dear || n.turns%requestsEvery == 0
}

// vacant says whether the mastership of the newest entry is over.
func (n *Node) vacant(v view, tail ledger.Stored, holder *lease.Holder) (bool, string) {
	s := tail.State
	if s.Master != n.cfg.Name {
		// Judged of this very mastership, not of the one before.
		return v.vacancy.Vacant && v.vacancy.Of == masterOf(tail), v.vacancy.Successor
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case s.Incarnation == holder.Incarnation():
		return n.released >= tail.Epoch, n.heir
	case slices.Contains(n.mine, s.Incarnation), n.restartSafe:
		// This node's own earlier mastership, which is over: the same process lost
		// it, or the process before it in this boot has ended (its lock was taken
		// and its record stood still).
		return true, ""
	default:
		return n.now() >= v.began+s.InForce().Of(n.before).Timeout, ""
	}
}

func (n *Node) candidates(v view, tail ledger.Stored) []lease.Candidate {
	list := []lease.Candidate{}
	for _, name := range slices.Sorted(maps.Keys(tail.State.Members)) {
		m, k := tail.State.Members[name], v.nodes[name]
		c := lease.Candidate{Node: name, Priority: m.Priority, Version: m.Version, HoldBack: m.HoldBack}
		switch {
		case !m.Candidate():
		case name == n.cfg.Name:
			c.Version = n.cfg.Version
			list = append(list, c)
		case k.Standing == lease.Alive && k.Last != nil && k.Last.Claims && !k.Last.Ending:
			list = append(list, c)
		}
	}
	return list
}

// claim is the compare-and-set by which one node becomes master. It admits its
// writer; a fence on it, or its having left, stays until it is master and has
// looked. judged is the entry whose mastership was found vacant: whoever claimed
// after it is not claimed over unjudged.
func (n *Node) claim(ctx context.Context, judged ledger.Stored, promoted *record.Request) {
	holder := n.getHolder()
	// The tail is found by listing before a claim.
	if _, err := n.ledger.RefreshByList(ctx); err != nil {
		n.log.Warn().Err(err).Msg("no claim: the ledger cannot be read")
		return
	}
	before := n.ledger.Tail()
	e := n.ledger.Next(ledger.KindClaim, n.cfg.Name, holder.Incarnation(), n.cfg.Clock.Wall())
	if masterOf(before) != masterOf(judged) || e.Seq != before.Seq+1 || before.State.Closed {
		return
	}
	if promoted != nil {
		if _, done := before.State.Answers[promoted.ID]; done {
			return // the master was faster
		}
	}
	e.Epoch++
	e.By, e.Why = "node "+n.cfg.Name, "claim: "+n.claimReason(before)
	s := &e.State
	s.Master, s.Incarnation, s.Claimed = n.cfg.Name, holder.Incarnation(), e.Seq
	m := s.Members[n.cfg.Name]
	m.Admitted, m.Proof, m.URL, m.Version = holder.Incarnation(), n.host.declares(), n.cfg.URL, n.cfg.Version
	if promoted != nil {
		m.HoldBack = false
		e.By, e.Requests = promoted.By, []string{promoted.ID}
		e.Why = "claim: promoted"
		if promoted.Force {
			e.Why = "claim: promoted by force, without waiting for the old master's end"
		}
		if s.Answers == nil {
			s.Answers = map[string]ledger.Answer{}
		}
		s.Answers[promoted.ID] = ledger.Answer{OK: true, Text: n.cfg.Name + " is master", At: before.Seq + 1}
	}
	s.Members[n.cfg.Name] = m
	e.Touched = ledger.Touched(&before.State, s)
	if !holder.Valid(n.now()) {
		return
	}
	if !n.append(ctx, e) {
		n.vacantSince = 0
		return
	}
	n.mu.Lock()
	n.stats.Claims++
	n.heir = ""
	n.mu.Unlock()
	n.vacantSince = 0
	n.log.Info().Uint64("epoch", e.Epoch).Msg("becoming a new cluster manager")
	kick(n.kickBeat)
}

func (n *Node) claimReason(tail ledger.Stored) string {
	switch v := n.getView().vacancy; {
	case tail.State.Master == "":
		return "there is no master"
	case tail.State.Master == n.cfg.Name:
		return "its own mastership before had ended"
	case v.Released:
		return tail.State.Master + " gave the mastership up"
	default:
		return tail.State.Master + " was silent for the takeover timeout"
	}
}

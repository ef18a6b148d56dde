package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// beats renews the lease and observes the others every interval, and looks
// once more at the master at the very instant at which it could be judged.
func (n *Node) beats(ctx context.Context) error {
	next := n.now()
	for {
		if err := n.beat(ctx); err != nil {
			return err
		}
		interval := n.timings().Interval
		next += interval
		if now := n.now(); next < now {
			next = now // the store is slow: no time of the lease is to be lost besides
		}
		for waiting := true; waiting; {
			wake, judge := next, false
			if at, ok := n.observer.NextJudgement(); ok && at > n.now() && at < next {
				wake, judge = at, true
			}
			t := time.NewTimer(wake - n.now())
			select {
			case <-t.C:
			case <-n.kickBeat:
				next, judge = n.now(), false
			case <-ctx.Done():
				t.Stop()
				return nil
			}
			t.Stop()
			if judge {
				n.judge(ctx)
			}
			waiting = judge
		}
	}
}

// beat is one renewal and one look at everybody.
func (n *Node) beat(ctx context.Context) error {
	began := n.now()
	holder := n.getHolder()
	if holder.Over(began) {
		if err := n.lost(ctx, holder, "no renewal was answered in time"+n.trouble); err != nil {
			return err
		}
		holder = n.getHolder()
	}
	deadline := n.timings().Renew
	if until := holder.Until(); until != 0 {
		deadline = until - began
	}
	if left, bound := n.host.leeway(began); bound {
		deadline = min(deadline, max(left, n.timings().Interval))
	}
	bctx, cancel := context.WithTimeoutCause(ctx, deadline, errors.New("the renew deadline has passed"))
	defer cancel()
	failed, tailErr := n.tail(bctx, began)
	if errors.Is(tailErr, ErrName) {
		return tailErr
	}
	if err := n.stranger(bctx); err != nil {
		return err
	}
	hb, err := n.heartbeat(holder)
	if err != nil {
		return err
	}
	// Dated from before the first request of the beat.
	renewal := holder.Begin(began, hb.Timings)
	if err := n.host.shorten(renewal.Dated(), hb); err != nil {
		n.log.Error().Err(err).Msg("no heartbeat is sent: the VMs' deadline is longer than it would say")
		n.note(began, n.now(), hb, false, false, failed, errors.Join(tailErr, err))
		return nil
	}
	putErr := n.put(bctx, hb)
	answered := n.now()
	counted := tailErr == nil && failed == "" && putErr == nil && !n.ledger.Tail().State.Closed
	if counted {
		first := holder.Until() == 0
		if counted = holder.Answered(renewal, answered); counted && first {
			n.observer.Restart(answered)
			n.log.Info().Str("incarnation", holder.Incarnation()).Msg("lease held")
		}
	}
	if dated, shared := n.sharedSince(renewal.Dated()); counted {
		n.host.rehearse(renewal.Dated(), hb)
		n.host.renewed(renewal.Dated(), hb, true)
	} else if putErr == nil && failed != "" && shared {
		n.host.renewed(dated, hb, false)
	}
	if ctx.Err() != nil {
		return nil // this node has ended: what failed because of that is nobody's trouble
	}
	n.note(began, answered, hb, counted, putErr != nil, failed, errors.Join(tailErr, putErr))
	if why := n.host.unguarded(); why != "" {
		n.host.stopAll(ctx, why)
		if holder.Held() && failed == "" {
			if err := n.lost(ctx, holder, why); err != nil {
				return err
			}
		}
	}
	n.lookAll(ctx)
	n.publish()
	return nil
}

// sharedSince dates a heartbeat that was answered by a store whose history is in
// doubt. Whoever could judge this node's silence has to have written to this very
// store since then: a host that finds another store in the place of its own, a
// missing mount or an old copy, has its heartbeats answered and is silent for the
// others all the same.
func (n *Node) sharedSince(dated time.Duration) (time.Duration, bool) {
	for name, m := range n.ledger.Tail().State.Members {
		if name == n.cfg.Name || !m.Candidate() {
			continue
		}
		wrote := n.observer.Node(name).Wrote
		if wrote == 0 {
			return 0, false
		}
		dated = min(dated, wrote)
	}
	return dated, true
}

// tail reads the ledger and says whether its history is in doubt; that it
// could not be read is the error.
func (n *Node) tail(ctx context.Context, began time.Duration) (failed string, err error) {
	if n.getView().failed != "" {
		// Read again: what was lost may be back, or repaired.
		seq, hash := n.cfg.Memory.Tail()
		err = n.ledger.Load(ctx, ledger.Mark{Seq: seq, Hash: hash})
	} else {
		_, err = n.ledger.Refresh(ctx)
		if _, ok := errors.AsType[*ledger.HistoryError](err); ok {
			seq, hash := n.cfg.Memory.Tail()
			err = n.ledger.Load(ctx, ledger.Mark{Seq: seq, Hash: hash})
		}
	}
	if h, ok := errors.AsType[*ledger.HistoryError](err); ok {
		return h.Error(), nil
	}
	if err != nil {
		return n.getView().failed, err
	}
	if err := n.remember(); err != nil {
		return "", err
	}
	if _, ok := n.member(); !ok {
		return "", fmt.Errorf("%w: the cluster has forgotten %s; start it again to join anew", ErrName, n.cfg.Name)
	}
	n.observer.SetTimings(n.inForce())
	n.mu.Lock()
	n.view.tailRead = began
	n.mu.Unlock()
	s := n.ledger.Tail()
	n.observer.Claimed(masterOf(s), n.now())
	return "", nil
}

func masterOf(tail ledger.Stored) lease.Mastership {
	s := tail.State
	return lease.Mastership{Node: s.Master, Incarnation: s.Incarnation, Epoch: tail.Epoch, Claimed: s.Claimed}
}

// heartbeat makes the next record.
func (n *Node) heartbeat(holder *lease.Holder) (*record.Heartbeat, error) {
	tail := n.ledger.Tail()
	id := n.cfg.Memory.Identity()
	n.seq++
	hb := &record.Heartbeat{
		Cluster: n.cluster, Node: n.cfg.Name, Incarnation: holder.Incarnation(), Seq: n.seq,
		Claims:    n.claims(),
		LedgerSeq: tail.Seq, LedgerHash: tail.Hash, Timings: tail.State.Timings,
		Proof: n.host.declares(), Machine: id.Machine, Boot: n.cfg.Boot, Version: n.cfg.Version, URL: n.cfg.URL,
		Held: holder.Valid(n.now()), NoVMs: n.cfg.Driver == nil || n.cfg.Mode == ModeDisabled || n.getView().doubt() != "",
		Started: n.started, Wall: n.cfg.Clock.Wall(), Running: n.host.running(), Inventory: n.host.inventoryNumber(),
	}
	epoch, master := n.mastership()
	n.mu.Lock()
	switch s := tail.State; {
	case master:
		hb.Epoch = epoch
	case s.Master == n.cfg.Name && s.Incarnation == hb.Incarnation:
		// Once not carried, a mastership is given up: a later heartbeat that carried
		// it again could be hidden under this one.
		n.released = max(n.released, tail.Epoch)
	}
	// A mastership that was given up stays given up: every later heartbeat of the
	// incarnation says so.
	hb.Released, hb.Successor, hb.Ending = n.released, n.heir, n.ending
	if len(n.mine) > 1 {
		hb.Over = n.mine[len(n.mine)-2]
	}
	n.mu.Unlock()
	hb.State = n.State()
	if texts := n.Alarms(); len(texts) > 0 {
		hb.Alarm = short(texts[0])
	}
	if hb.Proof == record.ProofNothing {
		hb.Unproved = short(n.host.whyUnproved())
	}
	n.last = hb
	return hb, nil
}

// short bounds what a heartbeat tells people.
func short(text string) string {
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

func (n *Node) put(ctx context.Context, hb *record.Heartbeat) error {
	data, err := record.SealHeartbeat(hb)
	if err != nil {
		return err
	}
	n.sent = data
	return n.lanes.heartbeat.Put(ctx, record.HeartbeatKey(n.cfg.Name), data)
}

// note keeps what the beat came to, and says once when it begins to fail.
func (n *Node) note(began, answered time.Duration, hb *record.Heartbeat, counted, unanswered bool, failed string, err error) {
	n.recordBeat(began, answered, hb, counted, failed, err)
	n.mu.Lock()
	wasFailed := n.view.failed
	n.view.failed = failed
	n.stats.Beats++
	n.stats.LastBeat = answered - began
	n.view.unanswered = unanswered
	if counted {
		n.view.own, n.trouble = hb, ""
	} else {
		n.stats.BeatsFailed++
	}
	n.mu.Unlock()
	var texts []string
	if failed != "" {
		texts = append(texts, failed+"; nothing is decided or started until: hoster-ha ledger repair")
	}
	if err != nil {
		n.log.Warn().Err(err).Msg("the beat failed")
		n.trouble = ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
		texts = append(texts, "the store does not answer")
	}
	if failed != wasFailed && failed != "" {
		n.log.Error().Msg(failed)
	}
	if s := n.ledger.Tail().State; s.Closed {
		texts = append(texts, fmt.Sprintf("the cluster has moved to %s; no lease is granted here: start this daemon anew with that address", s.MovedTo))
	}
	n.setAlarms("store", texts)
	n.setAlarms("watchdog", n.host.alarms())
}

// lost begins a new incarnation: the old one is over for everything.
func (n *Node) lost(ctx context.Context, old *lease.Holder, why string) error {
	n.mu.Lock()
	n.view.own = nil
	if old.Held() {
		n.stats.LeasesLost++
		n.log.Warn().Str("incarnation", old.Incarnation()).Msgf("lease lost: %s; a new incarnation begins", why)
	}
	n.mu.Unlock()
	if old.Held() {
		n.report.rec.Lost(n.now(), n.cfg.Clock.Wall())
	}
	n.ledger.Abandon()
	n.host.leaseLost(ctx, why)
	if n.ledger.Tail().State.Debug && old.Held() {
		return fmt.Errorf("%w: this node lost its lease and would have been fenced", ErrDebugFenced)
	}
	return n.newIncarnation()
}

// strangers are heartbeats under this node's name that it did not write.
type strangers struct {
	mine    []string // incarnations of this process
	foreign string   // last foreign (incarnation, number) seen
	moves   int
}

// stranger looks whether somebody else writes under this node's name. The
// incarnation that the ledger admits writes on; any other gives way.
func (n *Node) stranger(ctx context.Context) error {
	if n.last == nil {
		return nil
	}
	obj, err := n.lanes.heartbeat.Get(ctx, record.HeartbeatKey(n.cfg.Name))
	if err != nil {
		return nil //nolint:nilerr // an unread record tells nothing; the renewal itself will fail
	}
	if bytes.Equal(obj.Value, n.sent) {
		return nil
	}
	hb, err := record.OpenHeartbeat(n.cluster, n.cfg.Name, obj.Value)
	if err != nil || slices.Contains(n.mine, hb.Incarnation) {
		return nil //nolint:nilerr // what cannot be read is overwritten by the next beat
	}
	if at := fmt.Sprintf("%s %d", hb.Incarnation, hb.Seq); at != n.foreign {
		n.foreign = at
		n.moves++
	}
	if n.moves < 2 {
		return nil
	}
	text := fmt.Sprintf("another process writes heartbeats as %q (machine %s)", n.cfg.Name, hb.Machine)
	if m, ok := n.member(); ok && m.Admitted == n.getHolder().Incarnation() {
		n.setAlarms("name", []string{text})
		return nil
	}
	return fmt.Errorf("%w: %s", ErrName, text)
}

// publish hands what was found to the other loops.
func (n *Node) publish() {
	n.report.rec.Active(n.now())
	n.mu.Lock()
	// What was found without a lease decides nothing.
	n.view.incarnation = ""
	if n.holder.Valid(n.now()) {
		n.view.incarnation = n.holder.Incarnation()
	}
	n.view.nodes = n.observer.Nodes()
	n.view.vacancy = n.observer.Vacancy()
	n.view.began = n.observer.Began()
	n.mu.Unlock()
	kick(n.kickDecide)
	kick(n.kickHost)
}

// claims says whether this node would claim the mastership by itself.
func (n *Node) claims() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cfg.Mode != ModeHotBackup && n.cfg.Mode != ModeDisabled && n.cfg.Promotion != PromotionManual && !n.ending
}

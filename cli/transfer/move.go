package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Refusal is why nothing is moved, as things stand.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return r.Why }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// writer is the writer of the entries that close and open: no node.
const writer = "operator"

// Way is where records come from and where they go.
type Way struct {
	From, To persistence.Store
	Address  string // of To, as addresses are normalized
	By       string // who asked, for the history
	// Lane gives a store for one purpose, whose calls end. Say tells how it goes.
	Lane func(s persistence.Store, purpose string) persistence.Store
	Say  func(format string, args ...any)
}

// Move brings a frozen cluster to another store. Its VMs run on meanwhile. The errors
// are *Refusal, *ledger.HistoryError, node.ErrCluster or the stores'.
func Move(ctx context.Context, w Way) error {
	c, err := clusterview.Open(ctx, w.Lane(w.From, "move"))
	if err != nil {
		return err
	}
	if err := ready(c); err != nil {
		return err
	}
	if s := c.Ledger.Tail().State; s.Closed && s.MovedTo != w.Address {
		return refuse("cluster %s has moved to %s: nothing of it is left to be moved from here", c.ID, s.MovedTo)
	}
	arrived, err := w.arrived(ctx, c)
	if err != nil {
		return err
	}
	if arrived {
		w.Say("cluster %s is at %s already", c.ID, w.Address)
		return w.finished(ctx, c)
	}
	if done, err := w.wasFinished(ctx); err != nil || done {
		if err == nil {
			err = refuse("cluster %s has moved to %s before, and is not there: look for it, or import an export of that store", c.ID, w.Address)
		}
		return err
	}
	if err := sound(ctx, c); err != nil {
		return err
	}
	if err := persistence.Prove(ctx, w.To); err != nil {
		return err
	}
	aside, err := ledger.Aside(ctx, c.Store, c.Ledger.Tail())
	if err != nil {
		return err
	}
	ours := func(e ledger.Stored) bool { return e.Kind == ledger.KindOpen && e.Cluster == c.ID }
	if err := w.copyEntries(ctx, ours, aside); err != nil {
		return err
	}
	// Closed is closed: nobody may have founded another cluster there meanwhile.
	if _, err := w.arrived(ctx, c); err != nil {
		return err
	}
	if err := w.shut(ctx, c); err != nil {
		return err
	}
	if err := w.outwait(ctx, c); err != nil {
		return err
	}
	// What the cluster decided while the first ones were copied.
	if err := w.copyEntries(ctx, ours, aside); err != nil {
		return err
	}
	if err := w.open(ctx, c); err != nil {
		return err
	}
	if err := w.finished(ctx, c); err != nil {
		return err
	}
	w.Say("cluster %s is at %s now: start every daemon anew with that address, then: hoster-ha arm", c.ID, w.Address)
	return nil
}

// doneKey is where an old store keeps that the move from it was finished: run again it
// would otherwise begin anew if the new store were lost, or had been moved from.
const doneKey = "moved.json"

func (w *Way) finished(ctx context.Context, c *clusterview.Cluster) error {
	data, err := record.Seal("moved", map[string]string{"cluster": c.ID, "to": w.Address})
	if err != nil {
		return err
	}
	return persistence.Ensure(ctx, w.Lane(w.From, "move"), doneKey, data)
}

func (w *Way) wasFinished(ctx context.Context) (bool, error) {
	_, err := w.Lane(w.From, "move").Get(ctx, doneKey)
	if errors.Is(err, persistence.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ready: only of a frozen cluster VMs run on while nobody holds a lease.
func ready(c *clusterview.Cluster) error {
	if s := c.Ledger.Tail().State; !s.Closed && !s.Frozen {
		return refuse("cluster %s is not frozen, so its VMs would be stopped meanwhile: hoster-ha freeze", c.ID)
	}
	return nil
}

// sound: a damaged history is not carried along.
func sound(ctx context.Context, c *clusterview.Cluster) error {
	survey, err := ledger.Walk(ctx, c.Store, c.ID)
	if err != nil {
		return err
	}
	if len(survey.Bad) > 0 {
		return fmt.Errorf("the ledger is damaged; see: hoster-ha ledger repair: %w", survey.Bad[0])
	}
	if len(survey.Aside) > 0 {
		return refuse("the ledger is forked at %s; see: hoster-ha ledger repair", survey.Aside[0])
	}
	return nil
}

// closeTries is how often a move begins again because the master has decided meanwhile.
const closeTries = 20

// shut makes the closing entry: the last one of the old store. From here on nobody
// decides anything there, and no lease is renewed. The entry names no master: whoever
// is that one still, until it has read it, can add nothing.
func (w *Way) shut(ctx context.Context, c *clusterview.Cluster) error {
	for range closeTries {
		if err := w.lowered(ctx, c); err != nil {
			return err
		}
		tail := c.Ledger.Tail()
		switch s := tail.State; {
		case s.Closed && s.MovedTo == w.Address:
			return nil
		case s.Closed:
			return refuse("somebody else has moved cluster %s to %s meanwhile", c.ID, s.MovedTo)
		}
		if err := ready(c); err != nil {
			return err
		}
		e := c.Ledger.Next(ledger.KindClose, writer, "", time.Now())
		e.By, e.Why = w.By, "the cluster moves to "+w.Address
		e.State.Closed, e.State.MovedTo, e.State.Master, e.State.Incarnation = true, w.Address, "", ""
		if err := appendSettled(ctx, c.Ledger, e); !errors.Is(err, ledger.ErrSuperseded) {
			return err
		}
	}
	return refuse("nothing was closed: the master decided something each time; try again")
}

// appendSettled makes an entry, and settles an open outcome.
func appendSettled(ctx context.Context, l *ledger.Ledger, e *ledger.Entry) error {
	err := l.Append(ctx, e)
	for tries := 0; errors.Is(err, persistence.ErrUnknown) && tries < 5 && ctx.Err() == nil; tries++ {
		err = l.Settle(ctx)
	}
	return err
}

// outwait waits until the last lease that was granted in the old store is over: T, and
// as long again for a member that is shown the closing entry late.
func (w *Way) outwait(ctx context.Context, c *clusterview.Cluster) error {
	left, err := c.Leftovers(ctx)
	if err != nil {
		return err
	}
	in := c.Ledger.Tail().State.InForce()
	t := in.Timings
	for _, n := range left.Nodes {
		t = t.Max(in.Of(n.Heartbeat))
	}
	d := 2 * t.Timeout
	w.Say("the old store is closed; waiting %s until every lease that was held there is over", d)
	return node.Pause(ctx, d)
}

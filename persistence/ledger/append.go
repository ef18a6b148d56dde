package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Next makes the entry that would follow the tail: its number, chain and id
// filled in, the state a copy to be changed.
func (l *Ledger) Next(kind, node, incarnation string, wall time.Time) *Entry {
	tail := l.Tail()
	return &Entry{
		Cluster: l.cluster, Seq: tail.Seq + 1, PrevSeq: tail.Seq, Prev: tail.Hash,
		ID: record.NewID(), Kind: kind, Epoch: tail.Epoch, Node: node, Incarnation: incarnation,
		Oldest: tail.Oldest, Time: wall, State: *tail.State.Clone(),
	}
}

// Append makes the entry, which must be made by Next from the present tail.
// nil: it is made and is the tail. ErrSuperseded: somebody else's stands under
// its number. ErrUnknown: open; nothing else may be written until Settle says
// what became of it. Other errors: it was not made.
func (l *Ledger) Append(ctx context.Context, e *Entry) error {
	if !l.Settled() {
		return ErrPending
	}
	data, err := record.Seal(record.KindEntry, e)
	if err != nil {
		return err
	}
	// What is kept is what readers will read: times, for one, lose precision.
	stored, err := open(l.cluster, e.Seq, data)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.pending = &pending{stored: stored, data: data}
	l.mu.Unlock()
	return l.Settle(ctx)
}

// Settle sends a pending entry again, the very same record, until it is made or
// refused. nil when there was none or it is made.
func (l *Ledger) Settle(ctx context.Context) error {
	l.mu.Lock()
	p, tail := l.pending, l.tail
	l.mu.Unlock()
	if p == nil {
		return nil
	}
	if tail.Seq >= p.stored.Seq {
		// A refresh has read what stands there.
		return l.settled(ctx, p)
	}
	err := l.store.Create(ctx, Key(p.stored.Seq), p.data)
	switch {
	case err == nil:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.tail.Seq < p.stored.Seq {
			l.advance(p.stored)
		}
		l.pending = nil
		return nil
	case errors.Is(err, persistence.ErrExists):
		return l.settled(ctx, p)
	case errors.Is(err, persistence.ErrUnknown):
		l.mu.Lock()
		defer l.mu.Unlock()
		p.open = true
		return err
	default:
		// This request was not carried out, but an earlier one of the same record
		// may be: only the first attempt's plain failure is one.
		l.mu.Lock()
		defer l.mu.Unlock()
		if p.open {
			return fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
		}
		l.pending = nil
		return err
	}
}

// settled compares what stands under the number with what was sent.
func (l *Ledger) settled(ctx context.Context, p *pending) error {
	there, err := Read(ctx, l.store, l.cluster, p.stored.Seq)
	if err != nil {
		return fmt.Errorf("%w: read back: %w", persistence.ErrUnknown, err)
	}
	l.mu.Lock()
	if there.ID == p.stored.ID && l.tail.Seq < there.Seq {
		l.advance(there)
	}
	l.pending = nil
	l.mu.Unlock()
	if there.ID == p.stored.ID {
		return nil
	}
	if _, err := l.Refresh(ctx); err != nil {
		return errors.Join(ErrSuperseded, err)
	}
	return ErrSuperseded
}

// Abandon gives a pending entry up: its writer's incarnation is over. Whether
// it was made is learned from the ledger like anybody's.
func (l *Ledger) Abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = nil
}

// Found makes the first entry of a ledger. ErrExists: somebody else has.
func (l *Ledger) Found(ctx context.Context, e *Entry) error {
	e.Cluster, e.Seq, e.PrevSeq, e.Prev, e.Oldest = l.cluster, 1, 0, "", 1
	e.Kind, e.ID, e.Epoch = KindFound, record.NewID(), 0
	data, err := record.Seal(record.KindEntry, e)
	if err != nil {
		return err
	}
	return l.store.Create(ctx, Key(1), data)
}

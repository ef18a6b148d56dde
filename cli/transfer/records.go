package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// copiers is how many entries are under way at a time: a bucket answers each after
// tens of milliseconds, and a ledger has many.
const copiers = 16

// copyEntries makes every entry of the old ledger in the new one, also those that a
// repair has set aside: what is there already has to be the same.
//
// ours says whether an entry that only the new one has is of this very transfer. aside
// are the keys that may be left behind if they cannot be read or kept.
func (w *Way) copyEntries(ctx context.Context, ours func(e ledger.Stored) bool, aside map[string]bool) error {
	type pair struct{ from, to persistence.Store }
	free := make(chan pair, copiers)
	for i := range copiers {
		purpose := fmt.Sprintf("copy %d", i)
		free <- pair{w.Lane(w.From, purpose), w.Lane(w.To, purpose)}
	}
	there, err := w.numbers(ctx, w.To)
	if err != nil {
		return err
	}
	count := 0
	g, gctx := errgroup.WithContext(ctx)
	for seq, err := range ledger.Numbers(gctx, w.Lane(w.From, "list"), 0) {
		if err != nil {
			if werr := g.Wait(); werr != nil {
				err = werr // the listing ended because of it
			}
			return err
		}
		delete(there, seq)
		count++
		p := <-free
		g.Go(func() error {
			defer func() { free <- p }()
			key := ledger.Key(seq)
			o, err := p.from.Get(gctx, key)
			if err == nil {
				err = persistence.CheckValue(o.Value)
			}
			if err != nil && aside[key] && gctx.Err() == nil {
				w.Say("left behind, it was set aside and cannot be read: %s: %v", key, err)
				return nil
			}
			if err != nil {
				return err
			}
			err = persistence.Ensure(gctx, p.to, key, o.Value)
			if errors.Is(err, persistence.ErrExists) {
				return refuse("%s holds the ledger of something else: its %s is another", w.Address, key)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for seq := range there {
		e, err := ledger.Read(ctx, w.Lane(w.To, "move"), "", seq)
		if err != nil || !ours(e) {
			return refuse("%s holds the ledger of something else: it has %s", w.Address, ledger.Key(seq))
		}
	}
	w.Say("%d entries of the ledger are at %s", count, w.Address)
	return nil
}

// numbers are those of the entries that lie in a store.
func (w *Way) numbers(ctx context.Context, s persistence.Store) (map[uint64]bool, error) {
	all := map[uint64]bool{}
	for seq, err := range ledger.Numbers(ctx, w.Lane(s, "list"), 0) {
		if err != nil {
			return nil, err
		}
		all[seq] = true
	}
	return all, nil
}

// opened: the new store goes on after the closing entry.
func (w *Way) opened(ctx context.Context, closing ledger.Stored) bool {
	e, err := ledger.Read(ctx, w.Lane(w.To, "move"), closing.Cluster, closing.Seq+1)
	return err == nil && e.Kind == ledger.KindOpen && e.Prev == closing.Hash
}

// arrived says whether the cluster is at its new place already, and refuses a place
// that holds anything but a part of this cluster's ledger.
func (w *Way) arrived(ctx context.Context, c *clusterview.Cluster) (bool, error) {
	to := w.Lane(w.To, "move")
	names, err := to.List(ctx, "")
	if err != nil {
		return false, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "probe/" || n == ledger.Folder+"/" })
	if !slices.Contains(names, clusterview.Key) {
		if len(names) > 0 {
			return false, refuse("%s is not empty: it holds %s", w.Address, strings.Join(names, ", "))
		}
		return false, nil
	}
	o, err := to.Get(ctx, clusterview.Key)
	if err != nil {
		return false, err
	}
	switch there, err := record.OpenCluster(o.Value); {
	case err != nil:
		return false, refuse("%s holds a %s that cannot be read: %v", w.Address, clusterview.Key, err)
	case there.ID != c.ID:
		return false, refuse("%s holds cluster %s", w.Address, there.ID)
	case !c.Ledger.Tail().State.Closed:
		return false, refuse("%s holds cluster %s itself: it is the same place, or an old copy", w.Address, c.ID)
	}
	closing := c.Ledger.Tail()
	if !w.opened(ctx, closing) {
		return false, refuse("%s holds cluster %s, but not as it went on there: it is the same place, or an old copy", w.Address, c.ID)
	}
	return true, nil
}

// open makes the entry that follows the closing one in the new store, reads the whole
// ledger back, and at last tells whose store it is: before that no daemon uses it.
func (w *Way) open(ctx context.Context, c *clusterview.Cluster) error {
	to, closing := w.Lane(w.To, "move"), c.Ledger.Tail()
	l := ledger.New(to, c.ID)
	if err := l.Load(ctx, closing.Mark()); err != nil {
		return err
	}
	switch tail := l.Tail(); {
	case tail.Seq == closing.Seq:
		e := l.Next(ledger.KindOpen, writer, "", time.Now())
		e.By, e.Why = w.By, "the cluster has moved to "+w.Address
		e.State.Closed, e.State.MovedTo, e.State.Master, e.State.Incarnation = false, "", "", ""
		if err := appendSettled(ctx, l, e); err != nil {
			return err
		}
	case tail.Seq != closing.Seq+1 || tail.Kind != ledger.KindOpen:
		return refuse("%s has gone on to entry %d without being opened", w.Address, tail.Seq)
	}
	return w.name(ctx, c)
}

// name reads all back and makes cluster.json.
func (w *Way) name(ctx context.Context, c *clusterview.Cluster) error {
	to := w.Lane(w.To, "move")
	if err := sound(ctx, &clusterview.Cluster{Cluster: c.Cluster, Store: to}); err != nil {
		return fmt.Errorf("what was copied: %w", err)
	}
	o, err := c.Store.Get(ctx, clusterview.Key)
	if err != nil {
		return err
	}
	err = persistence.Ensure(ctx, to, clusterview.Key, o.Value)
	if errors.Is(err, persistence.ErrExists) {
		return refuse("somebody has founded another cluster at %s meanwhile; if it is nobody's, delete its %s and run this again", w.Address, clusterview.Key)
	}
	return err
}

package clusterview

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// forks holds the number and hash that each heartbeat carries against the
// ledger, as the nodes do with each other's. What nodes remember of the time
// before a repair is past.
func (c *Cluster) forks(ctx context.Context, v *View) error {
	hashes := map[uint64]string{v.Tail.Seq: v.Tail.Hash}
	for _, name := range slices.Sorted(maps.Keys(v.Nodes)) {
		hb := v.Nodes[name].Heartbeat
		if hb == nil || hb.LedgerSeq == 0 || hb.LedgerSeq < v.Tail.State.RepairSeq {
			continue
		}
		if hb.LedgerSeq > c.Ledger.Tail().Seq {
			// It may have been made since the tail was read.
			if _, err := c.Ledger.Refresh(ctx); err != nil {
				return err
			}
		}
		if hb.LedgerSeq > c.Ledger.Tail().Seq {
			v.Forks = append(v.Forks, fmt.Sprintf("%s has read ledger entry %d, and the ledger ends at %d: entries are lost",
				name, hb.LedgerSeq, c.Ledger.Tail().Seq))
			continue
		}
		hash, known := hashes[hb.LedgerSeq]
		if !known {
			e, err := ledger.Read(ctx, c.Store, c.ID, hb.LedgerSeq)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, persistence.ErrNotFound):
				v.Forks = append(v.Forks, fmt.Sprintf("%s has read ledger entry %d, which is missing: entries are lost", name, hb.LedgerSeq))
				continue
			case err != nil:
				v.Forks = append(v.Forks, err.Error())
				continue
			}
			hash = e.Hash
			hashes[hb.LedgerSeq] = hash
		}
		if hash != hb.LedgerHash {
			v.Forks = append(v.Forks, fmt.Sprintf("%s has read another ledger entry %d: the history is forked", name, hb.LedgerSeq))
		}
	}
	return nil
}

package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// lowered waits until every member that lives has taken the freeze in: its VMs have no
// deadline any more that they would stop at while it holds no lease.
func (w *Way) lowered(ctx context.Context, c *clusterview.Cluster) error {
	if c.Ledger.Tail().State.Closed {
		return nil
	}
	t := c.Ledger.Tail().State.Timings
	var late []string
	for waited := t.Interval; ; waited += t.Interval {
		v, err := c.Look(ctx)
		if err != nil {
			return err
		}
		if late = unaware(v); len(late) == 0 {
			// It was told; the VMs are within the two beats that follow.
			return node.Pause(ctx, 3*t.Interval)
		}
		if waited > 2*t.Timeout {
			return refuse("nothing was closed: %s", strings.Join(late, "; "))
		}
		if err := node.Pause(ctx, t.Interval); err != nil {
			return err
		}
	}
}

// unaware says which living members do not know of the freeze yet.
func unaware(v *clusterview.View) []string {
	s := v.Tail.State
	var late []string
	for name, n := range v.Nodes {
		hb := n.Heartbeat
		switch {
		case !n.Alive:
		case hb == nil:
			late = append(late, fmt.Sprintf("the heartbeat of %s cannot be read: %v", name, n.Problem))
		case hb.LedgerSeq < s.FrozenAt:
			late = append(late, fmt.Sprintf("%s has not read yet that the cluster is frozen", name))
		case hb.Proof == record.ProofElapsed || n.Member.Proof == record.ProofElapsed:
			late = append(late, fmt.Sprintf("the VMs of %s still have a deadline", name))
		}
	}
	slices.Sort(late)
	return late
}

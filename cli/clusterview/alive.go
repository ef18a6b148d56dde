package clusterview

import (
	"context"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Timings by which a node is judged.
func (v *View) Timings(n *Node) record.Timings { return v.Tail.State.InForce().Of(n.Heartbeat) }

// age dates the heartbeats by the store's own times. A store that cannot tell
// its time (it keeps none, or takes no writes) leaves the ages open.
func (c *Cluster) age(ctx context.Context, v *View, nodes []*Node) {
	for _, n := range nodes {
		n.Age, n.Alive = nil, n.moved && !n.lastWord()
		if n.moved {
			age := time.Since(n.seen)
			n.Age = &age
		}
	}
	clock, ok := c.Store.(persistence.Clock)
	if !ok {
		return
	}
	now, err := clock.Now(ctx)
	if err != nil {
		return
	}
	for _, n := range nodes {
		// Written after the store's present time: its times tell nothing.
		age := now.Sub(n.modified)
		if n.Heartbeat == nil || n.moved || age < 0 {
			continue
		}
		n.Age = &age
		t := v.Timings(n)
		n.Alive = age < t.Renew+t.Margin && !n.lastWord()
	}
}

// lastWord: the node said that it ends; nothing follows.
func (n *Node) lastWord() bool { return n.Heartbeat != nil && n.Heartbeat.Ending }

// watch looks whether the heartbeats move that are not known to be alive. A
// store whose times are wrong cannot make the living look dead by this, and the
// dead show themselves by standing still.
func (c *Cluster) watch(ctx context.Context, v *View, nodes []*Node) {
	var open []*Node
	var interval time.Duration
	for _, n := range nodes {
		if !n.Alive && !n.lastWord() {
			open = append(open, n)
			interval = max(interval, v.Timings(n).Interval)
		}
	}
	if len(open) == 0 {
		return
	}
	end, tick := time.NewTimer(watchFor(interval)), time.NewTicker(watchEvery(interval))
	defer end.Stop()
	defer tick.Stop()
	for still := len(open); still > 0; {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			still = 0
		case <-tick.C:
			still = 0
			for _, n := range open {
				c.again(ctx, n)
				if !n.moved || n.Heartbeat == nil {
					still++
				}
			}
		}
	}
	c.age(ctx, v, open)
}

// again reads a heartbeat once more and notes whether it has moved.
func (c *Cluster) again(ctx context.Context, n *Node) {
	was := n.raw
	c.heartbeat(ctx, n)
	if n.raw != was && was != "" && n.raw != absent {
		n.moved, n.seen = true, time.Now()
	}
}

// watchFor is how long a heartbeat that lives moves at least once: two
// intervals, and some room for a slow store.
func watchFor(interval time.Duration) time.Duration {
	return 2*interval + max(interval/2, 200*time.Millisecond)
}

func watchEvery(interval time.Duration) time.Duration { return max(interval/5, 10*time.Millisecond) }

// handover waits, as long as a heartbeat may take, for the master that follows
// one which lives or has ended in order: what was read may lie in between.
func (c *Cluster) handover(ctx context.Context, v *View) error {
	old := v.Nodes[v.Tail.State.Master]
	if v.Master() != "" || old == nil || (!old.Alive && !old.lastWord()) || !v.anyAlive() {
		return nil
	}
	interval := v.Tail.State.Timings.Interval
	end, tick := time.NewTimer(watchFor(interval)), time.NewTicker(watchEvery(interval))
	defer end.Stop()
	defer tick.Stop()
	for v.Master() == "" {
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if _, err := c.Ledger.Refresh(ctx); err != nil {
			return err
		}
		v.Tail = c.Ledger.Tail()
		if err := c.lookAt(ctx, v); err != nil {
			return err
		}
		if n := v.Nodes[v.Tail.State.Master]; n != nil {
			c.again(ctx, n)
		}
	}
	return nil
}

func (v *View) anyAlive() bool {
	for _, n := range v.Nodes {
		if n.Alive {
			return true
		}
	}
	return false
}

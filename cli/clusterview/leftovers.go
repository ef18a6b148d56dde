package clusterview

import (
	"context"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Leftovers is what lies beside the ledger, whatever the ledger says.
type Leftovers struct {
	Nodes map[string]*Node // all that have a heartbeat or an inventory
}

// Leftovers reads every heartbeat and inventory in the store.
func (c *Cluster) Leftovers(ctx context.Context) (*Leftovers, error) {
	l := &Leftovers{Nodes: map[string]*Node{}}
	v := &View{Nodes: l.Nodes}
	for _, folder := range []string{"members", "inventory"} {
		list, err := c.Store.List(ctx, folder)
		if err != nil {
			return nil, err
		}
		for _, file := range list {
			name, ok := strings.CutSuffix(file, ".json")
			if ok && l.Nodes[name] == nil {
				l.Nodes[name] = &Node{Name: name}
			}
		}
	}
	for _, n := range l.Nodes {
		c.heartbeat(ctx, n)
	}
	return l, c.inventories(ctx, v)
}

// Evidence is what they say of the cluster's history.
func (l *Leftovers) Evidence() ledger.Evidence {
	ev := ledger.Evidence{Inventories: map[string]*record.Inventory{}}
	for _, name := range sorted(l.Nodes) {
		n := l.Nodes[name]
		if n.Heartbeat != nil {
			ev.Heartbeats = append(ev.Heartbeats, n.Heartbeat)
		}
		if n.Inventory != nil {
			ev.Inventories[name] = n.Inventory
		}
	}
	return ev
}

// StandStill watches all heartbeats for a time, and names a node whose moves;
// "" when none does. A heartbeat that appears moves too.
func (c *Cluster) StandStill(ctx context.Context, l *Leftovers, d, every time.Duration) (string, error) {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := false; ; {
		for _, name := range sorted(l.Nodes) {
			// Any answer that differs from the first one is a move.
			n := &Node{Name: name}
			c.heartbeat(ctx, n)
			if n.raw == "" {
				return "", n.Problem
			}
			if n.raw != l.Nodes[name].raw {
				return name, nil
			}
		}
		names, err := c.Store.List(ctx, "members")
		if err != nil {
			return "", err
		}
		for _, file := range names {
			if name, ok := strings.CutSuffix(file, ".json"); ok && l.Nodes[name] == nil {
				return name, nil
			}
		}
		if last {
			return "", nil
		}
		select {
		case <-tick.C:
		case <-end.C:
			last = true
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

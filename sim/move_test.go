package sim

import (
	"context"
	"fmt"
	"strings"

	"github.com/hoster-ha/hoster-ha/cli/transfer"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// storeLeft is the name of the store that the cluster has moved from.
const storeLeft = "left"

// move is what the operator's command does: it brings the cluster to another store,
// while all daemons go on with the old one. A daemon uses the new one when it is started
// anew.
func (w *world) move() error {
	w.mu.Lock()
	from := w.store
	w.mu.Unlock()
	to := newShared(w, "next")
	ctx, cancel := context.WithCancel(outside)
	w.commands.Go(func() {
		err := transfer.Move(ctx, transfer.Way{
			From: mover{from}, To: arriving{to, from}, Address: "/next", By: "operator",
			Lane: func(s persistence.Store, _ string) persistence.Store { return s },
			Say:  func(format string, args ...any) { w.tell("move: %s", fmt.Sprintf(format, args...)) },
		})
		if err != nil {
			w.tell("move: %v", err)
		}
	})
	w.giveUp = append(w.giveUp, cancel)
	return nil
}

// mover is the old store as the command sees it: what it writes there is held against
// the rules like what a daemon writes.
type mover struct{ *shared }

func (m mover) Create(_ context.Context, key string, value []byte) error {
	return m.w.land(m.shared, "create", key, value, "operator")
}

// arriving is the new store as the command sees it. What is copied is nothing new; the
// entry that opens it is, and with cluster.json it is the cluster's store.
type arriving struct {
	*shared
	from *shared
}

func (a arriving) Create(ctx context.Context, key string, value []byte) error {
	if err := a.Store.Create(ctx, key, value); err != nil {
		return err
	}
	a.mu.Lock()
	a.keep(key, value)
	a.mu.Unlock()
	w := a.w
	_, copied := a.from.Get(ctx, key)
	switch {
	case key == "cluster.json":
		w.settleIn(a.shared, a.from)
	case strings.HasPrefix(key, ledger.Folder+"/") && copied != nil:
		w.nobodyHolds()
		w.ledger.landed(value)
		w.ledger.made(key, value, "operator")
	}
	return nil
}

// settleIn: the daemons that run look at the old store until they are started anew.
func (w *world) settleIn(to, from *shared) {
	w.mu.Lock()
	defer w.mu.Unlock()
	to.name, from.name = "", storeLeft
	w.store = to
	for _, h := range w.hosts {
		if h.proc != nil && h.mounted == nil {
			h.mounted = from
		}
	}
}

// nobodyHolds: the new store is opened only when every lease of the old one is over.
// Exclusion "misled": of a host that has had trouble of its own since the old store was
// closed: its clock stood still, or it was shown what is not there any more.
func (w *world) nobodyHolds() {
	for _, p := range w.running() {
		until, held := p.node.Lease()
		w.mu.Lock()
		if held && max(p.h.healthySince(), w.healed) <= w.closed && len(w.common) == 0 {
			w.violated("move", "the new store is opened while %s holds a lease of the old one until %s", p.h.name, until)
		}
		w.mu.Unlock()
	}
}

// left says that the host's daemon was started before the cluster moved.
func (h *host) left() bool { return h.mounted != nil && h.mounted.name == storeLeft }

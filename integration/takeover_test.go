package integration

import (
	"net/http"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// settled gives the master if every daemon that lives is in its place: one is
// master by its own word, its heartbeat and the ledger, and all others are
// admitted standbys.
func (c *cluster) settled() (*daemon, bool) {
	c.tb.Helper()
	tail := c.tail()
	if tail.Entry == nil {
		return nil, false
	}
	var master *daemon
	for _, d := range c.daemons {
		if !d.alive() {
			continue
		}
		m, member := tail.State.Members[d.name]
		hb := c.heartbeat(d.name)
		if !member || hb == nil || m.Admitted != hb.Incarnation || m.Fence != nil || m.Left != "" {
			return nil, false
		}
		code, _ := d.get(c.tb.Context(), "/primary")
		state := d.state()
		switch {
		case state != hb.State || (state == "MASTER") != (code == http.StatusOK):
			return nil, false
		case state == "MASTER":
			if master != nil || tail.State.Master != d.name || hb.Epoch != tail.Epoch {
				return nil, false
			}
			master = d
		case state != "STANDBY" || hb.Epoch != 0:
			return nil, false
		}
	}
	return master, master != nil
}

// settle waits until all is settled, and gives the master.
func (c *cluster) settle() (master *daemon) {
	c.tb.Helper()
	c.await("one master and all others admitted standbys", func() (ok bool) {
		master, ok = c.settled()
		return ok
	})
	return master
}

// claimed waits until a living daemon other than the one given is master by
// the ledger, and gives its claim.
func (c *cluster) claimed(other *daemon, epoch uint64) ledger.Stored {
	c.tb.Helper()
	var claim ledger.Stored
	c.await("another master than "+other.name, func() bool {
		claim = ledger.Stored{}
		for _, e := range c.read() {
			if e.Kind == ledger.KindClaim && e.Epoch == epoch {
				claim = e
			}
		}
		return claim.Entry != nil
	})
	return claim
}

// lost counts the leases that daemons other than one have lost so far.
func (c *cluster) lost(but *daemon) int {
	count := 0
	for _, d := range c.daemons {
		if d != but {
			count += d.said("lease lost")
		}
	}
	return count
}

// maxSlow is how many rounds a test may repeat because the machine was slow.
const maxSlow = 3

// rounds acts on the master and has the cluster recover, n times, and asserts
// that each time another node has become master by exactly one epoch more, and
// that the one acted on did nothing in between. A round in which a daemon that
// nobody touched lost its lease tells of a machine too busy to renew for
// seconds: it must be as safe, but says nothing about the number of epochs, and
// is repeated.
func (c *cluster) rounds(n int, act, recover func(master *daemon)) {
	c.tb.Helper()
	for slow := 0; n > 0; n-- {
		master := c.settle()
		before, lost := c.tail(), c.lost(master)
		act(master)
		from := len(c.read())
		claim := c.claimed(master, before.Epoch+1)
		recover(master)
		now := c.settle()
		tail := c.tail()
		c.idle(master, from)
		if claim.Node != master.name && now.name == claim.Node && tail.Epoch == before.Epoch+1 {
			continue
		}
		if c.lost(master) == lost || slow >= maxSlow {
			c.tb.Fatalf("%s was master under epoch %d; %s claimed %d, and then %s is master under %d",
				master.name, before.Epoch, claim.Node, claim.Epoch, now.name, tail.Epoch)
		}
		slow++
		n++
		c.tb.Log("the machine is too busy: a round is repeated")
	}
}

// idle asserts that the daemon wrote no entry from one on unless it has claimed
// again by then.
func (c *cluster) idle(d *daemon, from int) {
	c.tb.Helper()
	for _, e := range c.entries[from:] {
		if e.Node == d.name && e.Kind == ledger.KindClaim {
			return
		}
		if e.Node == d.name {
			c.tb.Errorf("%s wrote entry %d (%s) after it was acted on", d.name, e.Seq, e.Why)
		}
	}
}

// pair starts two daemons at the same time on an empty folder.
func pair(tb testing.TB, extra ...string) *cluster {
	tb.Helper()
	return pairAt(tb, "", extra...)
}

// pairAt makes the pair over the store at an address; "" is a folder of its own.
func pairAt(tb testing.TB, address string, extra ...string) *cluster {
	tb.Helper()
	c := newCluster(tb, address, extra...)
	a, b := c.add("a"), c.add("b")
	a.launch()
	b.launch()
	a.listens()
	b.listens()
	c.settle()
	return c
}

package sim

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// leaseBound is until when a process may hold its lease, as its way to the store
// tells: D after the latest answered renewal was sent, and after the ledger was
// looked at for it. The program dates its renewals earlier; never later.
type leaseBound struct {
	incarnation string
	until       time.Duration // by the host's boot-time clock; 0: nothing was answered yet
	first       time.Duration // the deadline of the first renewal sent
	over        map[string]bool
	looked      time.Duration // when the latest answered look for new entries was sent
}

// tailRead notes that a look for new entries was answered.
func (p *proc) tailRead(sent time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lease.looked = max(p.lease.looked, sent)
}

// renewal is one heartbeat under way.
type renewal struct {
	incarnation string
	sent, renew time.Duration
}

// renewalSent notes a heartbeat before anything of it can be read. Shorter timings
// shorten the lease from here on, answered or not.
func (p *proc) renewalSent(key string, value []byte) *renewal {
	if key != record.HeartbeatKey(p.h.name) {
		return nil
	}
	epoch, err := strconv.ParseUint(cmp.Or(field(value, "epoch"), "0"), 10, 64)
	renew, rerr := strconv.ParseInt(field(value, "renew"), 10, 64)
	if err != nil || rerr != nil {
		return nil
	}
	if epoch > 0 {
		p.h.w.sent.epochs.Store(string(value), epoch)
	}
	p.h.w.ledger.follows(p, field(value, "ledger_hash"))
	r := &renewal{field(value, "incarnation"), p.clock.now(), time.Duration(renew)}
	p.mu.Lock()
	defer p.mu.Unlock()
	b, until := &p.lease, r.sent+r.renew
	if b.incarnation != r.incarnation {
		b.incarnation, b.until, b.first = r.incarnation, 0, until
	}
	b.first = min(b.first, until)
	if b.until > 0 {
		b.until = min(b.until, until)
	}
	return r
}

// field is the first one of that name in the text of a record; "" for none. Each
// heartbeat there is comes by here: to take all of them apart would take long.
func field(text []byte, name string) string {
	_, rest, _ := bytes.Cut(text, []byte(`"`+name+`":`))
	end := bytes.IndexAny(rest, ",}")
	return strings.Trim(string(rest[:max(end, 0)]), `"`)
}

// renewalAnswered notes its answer. One that came after the deadline ends the
// incarnation.
func (p *proc) renewalAnswered(r *renewal) {
	if r == nil {
		return
	}
	now := p.clock.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	b := &p.lease
	if b.incarnation != r.incarnation {
		return
	}
	if now >= max(b.until, b.first) {
		if b.over == nil {
			b.over = map[string]bool{}
		}
		b.over[b.incarnation] = true
		return
	}
	b.until = max(b.until, min(r.sent, b.looked)+r.renew)
}

// leases: no process holds a lease that its answered renewals do not carry, and no
// incarnation goes on after its end.
func (w *world) leases() {
	for _, p := range w.running() {
		until, held := p.node.Lease()
		if !held {
			continue
		}
		id := p.memory.Incarnation()
		p.mu.Lock()
		b := p.lease
		over := b.over[id]
		p.mu.Unlock()
		w.mu.Lock()
		switch {
		case over:
			w.violated("lease", "%s holds a lease under %s, which was over when its renewal was answered", p.h.name, id)
		case b.incarnation != id || until > b.until:
			w.violated("lease", "%s holds a lease until %s; its answered renewals carry it until %s", p.h.name, until, b.until)
		}
		w.mu.Unlock()
	}
}

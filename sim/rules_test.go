package sim

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// landed holds a write that has taken effect against the rules. The store is
// locked: nothing else lands meanwhile.
func (w *world) landed(s *shared, op, key string, value []byte, who string) {
	if strings.HasPrefix(key, ledger.Folder+"/") && op != "delete" {
		w.ledger.landed(value)
	}
	switch {
	case s.name != "" && (strings.HasPrefix(key, "ledger/") || key == "cluster.json"):
		w.mu.Lock()
		defer w.mu.Unlock()
		// Exclusion "exchanged under a decision": between the look at the ledger and the
		// entry that follows nothing can tell one store from another, and a slow look
		// goes on beside the next decision.
		p := w.hosts[who].proc
		if p == nil {
			return
		}
		if last := p.listed.Load(); last != nil && last.at == s && (key == "cluster.json" || w.now()-last.since > known) {
			w.violated("history", "%s: %s %s in a store that was %s", who, op, key, s.name)
		}
	case strings.HasPrefix(key, "ledger/") && op != "create", key == "cluster.json" && op != "create":
		w.mu.Lock()
		defer w.mu.Unlock()
		w.violated("history", "%s: %s %s", who, op, key)
	case strings.HasPrefix(key, "ledger/"):
		w.ledger.made(key, value, who)
	}
}

// told holds what a host publishes of itself against what is so: whoever gives its
// word that a VM has stopped for good has closed its generation before, durably, and
// whoever says that nothing runs there is right.
func (p *proc) told(value []byte) {
	h, w := p.h, p.h.w
	if field(value, "acks") == "" && field(value, "verified_stopped") == "" && field(value, "packed") == "" {
		return // it gives no word
	}
	inv := w.sent.inventory(value)
	if inv == nil || p.ended() || len(inv.Acks) == 0 && !inv.VerifiedStopped {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.ledger.tail.Load()
	if e == nil {
		return
	}
	for _, ack := range inv.Acks {
		if m := h.memory.opened(h); m != nil && m.Closed(ack.VM) < ack.Generation {
			w.violated("acknowledgement", "%s acknowledges that it stopped %s and has not closed generation %d", h.name, ack.VM, ack.Generation)
		}
		w.ledger.stopped(e, h.name, ack.VM, "is acknowledged")
	}
	for _, name := range h.runs() {
		if _, known := e.State.VMs[name]; known && inv.VerifiedStopped {
			w.violated("word", "%s says that nothing runs there, and %s does", h.name, name)
		}
	}
}

// words is the log of a daemon, as far as a rule reads it: an entry of which it
// tells its operators that it was not made never is.
type words struct{ p *proc }

func (x words) Write(line []byte) (int, error) {
	var said struct{ ID, Message string }
	if !bytes.Contains(line, []byte("entry not made")) || json.Unmarshal(line, &said) != nil {
		return len(line), nil
	}
	l, w := &x.p.h.w.ledger, x.p.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.denied == nil {
		l.denied = map[string]bool{}
	}
	l.denied[said.ID] = true
	if e := l.tail.Load(); e != nil {
		l.kept(e)
	}
	return len(line), nil
}

// kept holds an entry against what was said of it; the lock is held.
func (l *ledgerRules) kept(e *ledger.Entry) {
	if l.denied[e.ID] {
		l.w.violated("word", "%s has said that entry %d was not made", e.Node, e.Seq)
	}
}

// checkMasters: at most one node is master at any instant. Two answers are not
// one instant: the first is asked again after the second.
func (w *world) checkMasters() {
	var master *proc
	var epoch uint64
	for _, p := range w.running() {
		e, ok := p.primary()
		if p.distrusted(ok) || !ok {
			continue
		}
		if master == nil {
			master, epoch = p, e
			continue
		}
		if again, still := master.primary(); still && again == epoch {
			w.mu.Lock()
			w.violated("one master", "%s (epoch %d) and %s (epoch %d) both take themselves for master", master.h.name, epoch, p.h.name, e)
			w.mu.Unlock()
		}
	}
}

// distrusted: what promises nothing about its mastership. A host whose clock
// stood still may take itself for master until it has looked around; so may one
// that was robbed by force. Both end when it first says no.
func (p *proc) distrusted(master bool) bool {
	w := p.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.h.tainted && !master && !p.isPaused() {
		p.h.tainted = false
	}
	return p.h.tainted
}

// settled holds the world against the rules when nothing moves.
func (w *world) settled() {
	w.checkMasters()
	var masters []string
	for _, p := range w.running() {
		if _, ok := p.primary(); ok && !p.distrusted(ok) {
			masters = append(masters, p.h.name)
		}
	}
	w.leases()
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := strings.Join(masters, " and "); m != w.masters {
		if w.masters = m; m == "" {
			w.decide("no master")
		} else {
			w.decide("master: %s", m)
		}
	}
	on := map[string]string{}
	for _, n := range w.names {
		h := w.hosts[n]
		for _, name := range h.runs() {
			if other := on[name]; other != "" {
				w.violated("one place", "%s runs on %s and on %s", name, other, n)
			}
			on[name] = n
		}
	}
	// It costs more than all the rest, and what is gone stays gone.
	const often = 16
	if w.settlings++; w.settlings%often == 0 {
		w.keepAll()
	}
}

func (w *world) keepAll() {
	for _, n := range w.names {
		w.hosts[n].keepsAll()
	}
}

// keepsAll: no snapshot that ever lay on a host is gone from it; the lock is held.
func (h *host) keepsAll() {
	there := maps.Clone(h.aside)
	for _, v := range h.vms {
		for _, s := range v.disk {
			there[s.GUID] = true
		}
	}
	for _, list := range h.replicas {
		for _, s := range list {
			there[s.GUID] = true
		}
	}
	if len(there) >= len(h.held) {
		return
	}
	for _, guid := range sortedKeys(h.held) {
		if !there[guid] {
			h.w.violated("disks", "snapshot %s is gone from %s", guid, h.name)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

var (
	ids   = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`)
	times = regexp.MustCompile(`complete after [0-9hms.µn]+`)
)

// masked takes out of a text what differs between two runs.
func masked(text string) string {
	return times.ReplaceAllString(ids.ReplaceAllString(text, "<id>"), "complete")
}

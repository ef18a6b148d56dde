package report

import "time"

// Look is one answered read of another node's heartbeat.
type Look struct {
	Begun, Ended time.Duration
	Raw          string // digest of what lay there, "" for nothing
	Incarnation  string // "" when it cannot be read
	Ending       bool   // it says that silence follows
	Stale        bool   // the observer judges it silent for the takeover timeout
	Interval     time.Duration
}

// window is the time since another node's record was seen to change.
type window struct {
	date        time.Duration // end of the read that showed it
	looked      time.Duration // beginning of the read before
	raw         string
	incarnation string
	moved       bool // it was seen to change at all
	ending      bool
	stale       bool // told already
}

func (w *window) restart(now time.Duration) { w.date, w.looked, w.stale = now, now, false }

// Saw records one look. Like the observer it counts from the end of the read that
// showed a change to the beginning of a later one; and of a time in which this node
// did not look, only as much as could have been judged.
func (r *Recorder) Saw(node string, l Look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[node]
	if w == nil {
		if len(r.windows) >= mostNames {
			r.r.Forgotten++
			return
		}
		w = &window{raw: l.Raw, incarnation: l.Incarnation, ending: l.Ending}
		w.restart(l.Ended)
		r.windows[node] = w
		return
	}
	changed := l.Raw != w.raw
	silence := l.Begun - w.date
	if changed {
		silence = min(silence, w.looked-w.date+l.Interval)
	}
	if r.held && w.moved && !w.ending {
		r.silent(node, w, l, silence, changed)
	}
	w.looked = max(w.looked, l.Begun)
	if !changed {
		return
	}
	if r.held {
		p := r.r.Peers[node]
		p.News++
		r.setPeer(node, p)
	}
	w.raw, w.moved, w.ending = l.Raw, true, l.Ending
	if l.Incarnation != "" {
		w.incarnation = l.Incarnation
	}
	w.restart(l.Ended)
}

func (r *Recorder) silent(node string, w *window, l Look, silence time.Duration, changed bool) {
	cause := "it had not been heard of again"
	switch {
	case changed && l.Incarnation == "":
		cause = "then its heartbeat could not be read"
	case changed && l.Incarnation == w.incarnation:
		cause = "then the same incarnation went on"
	case changed:
		cause = "then another incarnation followed: it had lost its lease, or started anew"
	}
	if p := r.r.Peers[node]; silence > p.Worst.Length {
		p.Worst = Silence{Length: silence, At: r.r.To, Cause: cause, Open: !changed}
		r.setPeer(node, p)
	}
	if l.Stale && !w.stale {
		w.stale = true
		r.r.happened(Event{At: r.r.To, Kind: Silent, Node: node, Lasted: silence, Why: "no sign of life for the takeover timeout"})
	}
}

func (r *Recorder) setPeer(node string, p Peer) {
	if _, known := r.r.Peers[node]; !known && len(r.r.Peers) >= mostNames {
		r.r.Forgotten++
		return
	}
	r.r.Peers[node] = p
}

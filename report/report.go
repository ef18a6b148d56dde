package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

const (
	kind = "debug-report"
	// format of the content. Another one is begun anew, never converted.
	format = 1
	// mostEvents are kept, the newest.
	mostEvents = 100
	// mostNames bounds the nodes and the replicas that are kept.
	mostNames = 1000
	// longest is how long a text may be.
	longest = 300
)

// Report is what was recorded, in its file too.
type Report struct {
	Version   int                           `json:"version"`
	Cluster   string                        `json:"cluster"`
	Node      string                        `json:"node"`
	Debug     bool                          `json:"debug,omitempty"` // the cluster was in debug mode at last
	From      time.Time                     `json:"from"`            // times are for people
	To        time.Time                     `json:"to"`
	Runs      uint64                        `json:"runs"` // processes that recorded it
	Timings   record.Timings                `json:"timings"`
	Beats     uint64                        `json:"beats"`
	Renewals  uint64                        `json:"renewals"` // beats that counted
	Failed    uint64                        `json:"failed"`   // beats that did not
	Store     Histogram                     `json:"store"`    // from a beat's beginning to its answer
	Late      Histogram                     `json:"late"`     // how late beats began by this host's doing
	Gap       Silence                       `json:"gap"`      // the worst between renewals here
	Peers     map[string]Peer               `json:"peers,omitempty"`
	Events    []Event                       `json:"events,omitempty"`   // the newest, oldest first
	Happened  map[string]uint64             `json:"happened,omitempty"` // events of each kind, those included that are not kept
	Jumps     uint64                        `json:"jumps,omitempty"`    // of the wall clock
	Jump      Leap                          `json:"jump,omitzero"`      // the longest
	Replicas  map[string]map[string]Replica `json:"replicas,omitempty"`
	Forgotten uint64                        `json:"forgotten,omitempty"` // names for which there was no room
}

// Silence is a time without news. One that is open had not ended at last.
type Silence struct {
	Length time.Duration `json:"length"`
	At     time.Time     `json:"at,omitzero"` // when it ended
	Cause  string        `json:"cause,omitempty"`
	Open   bool          `json:"open,omitempty"`
}

// Peer is another node, as this one saw it.
type Peer struct {
	News  uint64  `json:"news"` // heartbeats seen to change
	Worst Silence `json:"worst"`
}

// Kinds of events.
const (
	Fenced     = "fenced"      // this node lost its lease: in debug it would have been fenced
	Silent     = "silent"      // another one was silent for the takeover timeout
	FailedOver = "failed-over" // a master in debug would have failed another over
)

// Event is one that an operator asks about.
type Event struct {
	At     time.Time     `json:"at"`
	Kind   string        `json:"kind"`
	Node   string        `json:"node"`
	Why    string        `json:"why"`
	Lasted time.Duration `json:"lasted,omitempty"`
}

// Leap is how far a clock was set, backward if negative.
type Leap struct {
	By time.Duration `json:"by"`
	At time.Time     `json:"at"`
}

// Open reads a report; the errors are those of record.Open.
func Open(data []byte) (*Report, error) {
	var r Report
	if err := record.Open(kind, data, &r); err != nil {
		return nil, err
	}
	if r.Version != format {
		return nil, fmt.Errorf("%w: a report of version %d, this program keeps %d", record.ErrForeign, r.Version, format)
	}
	r.Events = r.Events[max(len(r.Events)-mostEvents, 0):]
	if len(r.Peers) > mostNames || count(r.Replicas) > mostNames {
		return nil, fmt.Errorf("%w: more names than any report has", record.ErrForeign)
	}
	return &r, nil
}

// Seal makes the content of its file.
func (r *Report) Seal() ([]byte, error) { return record.Seal(kind, r) }

func (r *Report) clone() *Report {
	c := *r
	c.Peers, c.Events, c.Happened = maps.Clone(r.Peers), slices.Clone(r.Events), maps.Clone(r.Happened)
	c.Replicas = maps.Clone(r.Replicas)
	for vm, on := range r.Replicas {
		c.Replicas[vm] = maps.Clone(on)
	}
	return &c
}

// happened keeps an event, and counts it beyond those that are kept.
func (r *Report) happened(e Event) {
	e.Why = clean(e.Why)
	if len(r.Events) >= mostEvents {
		r.Events = append(r.Events[:0:0], r.Events[len(r.Events)-mostEvents+1:]...)
	}
	r.Events = append(r.Events, e)
	if r.Happened == nil {
		r.Happened = map[string]uint64{}
	}
	r.Happened[e.Kind]++
}

// clean makes one short line of what others wrote.
func clean(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

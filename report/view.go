package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// View is a report as programs are shown it, durations in seconds. Lists are never
// null.
type View struct {
	Node     string    `json:"node"`
	Cluster  string    `json:"cluster"`
	Debug    bool      `json:"debug"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Runs     uint64    `json:"runs"`
	Interval float64   `json:"interval"`
	Timeout  float64   `json:"timeout"`
	Renew    float64   `json:"renew_deadline"`

	Beats    uint64 `json:"beats"`
	Renewals uint64 `json:"renewals"`
	Failed   uint64 `json:"beats_failed"`
	Store    Spread `json:"store"`
	Late     Spread `json:"late"`

	Gap      GapView       `json:"worst_gap"`
	Peers    []PeerView    `json:"peers"`
	Events   []EventView   `json:"events"`
	Happened EventCounts   `json:"event_counts"`
	Jumps    uint64        `json:"clock_jumps"`
	Jump     *JumpView     `json:"worst_clock_jump"`
	Replicas []ReplicaView `json:"replicas"`

	// Quiet is null when no timeout would have been quiet, or nothing is known.
	Quiet       *float64 `json:"quiet_timeout"`
	QuietRenew  *float64 `json:"quiet_renew_deadline"`
	Predictable Verdict  `json:"predictable"`
	StoreKept   Verdict  `json:"store_kept_up"`
	ReplicaKept Verdict  `json:"replicas_kept_up"`
}

// Spread is of many durations.
type Spread struct {
	P50   float64    `json:"p50"`
	P99   float64    `json:"p99"`
	Worst float64    `json:"worst"`
	At    *time.Time `json:"at"`
}

// GapView is a Silence.
type GapView struct {
	Seconds float64    `json:"seconds"`
	At      *time.Time `json:"at"`
	Cause   string     `json:"cause"`
	Open    bool       `json:"open"`
}

// PeerView is a Peer.
type PeerView struct {
	Node string  `json:"node"`
	News uint64  `json:"news"`
	Gap  GapView `json:"worst_gap"`
}

// EventView is an Event.
type EventView struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Node    string    `json:"node"`
	Why     string    `json:"why"`
	Seconds float64   `json:"seconds"`
}

// EventCounts are all events ever, those included that are not kept.
type EventCounts struct {
	Fenced     uint64 `json:"fenced"`
	Silent     uint64 `json:"silent"`
	FailedOver uint64 `json:"failed_over"`
}

// JumpView is a Leap.
type JumpView struct {
	Seconds float64   `json:"seconds"`
	At      time.Time `json:"at"`
}

// ReplicaView is a Replica.
type ReplicaView struct {
	VM       string   `json:"vm"`
	Host     string   `json:"host"`
	Own      bool     `json:"own"`
	Age      float64  `json:"age"`
	Worst    float64  `json:"worst"`
	Interval *float64 `json:"interval"` // null: too few snapshots tell
	KeptUp   *bool    `json:"kept_up"`
}

// Verdict is an answer, null while too little is known, and the figures it rests on.
type Verdict struct {
	Is  *bool  `json:"is"`
	Why string `json:"why"`
}

// View sums the report up.
func (r *Report) View() View {
	v := View{
		Node: r.Node, Cluster: r.Cluster, Debug: r.Debug, From: r.From, To: r.To, Runs: r.Runs,
		Interval: r.Timings.Interval.Seconds(), Timeout: r.Timings.Timeout.Seconds(), Renew: r.Timings.Renew.Seconds(),
		Beats: r.Beats, Renewals: r.Renewals, Failed: r.Failed,
		Store: r.Store.spread(), Late: r.Late.spread(), Gap: r.Gap.view(),
		Peers: []PeerView{}, Events: []EventView{}, Replicas: []ReplicaView{}, Jumps: r.Jumps,
		Happened:    EventCounts{r.Happened[Fenced], r.Happened[Silent], r.Happened[FailedOver]},
		Predictable: r.predictable(), StoreKept: r.storeKept(), ReplicaKept: r.replicasKept(),
	}
	for _, name := range slices.Sorted(maps.Keys(r.Peers)) {
		p := r.Peers[name]
		v.Peers = append(v.Peers, PeerView{name, p.News, p.Worst.view()})
	}
	for _, e := range r.Events {
		v.Events = append(v.Events, EventView{e.At, e.Kind, e.Node, e.Why, e.Lasted.Seconds()})
	}
	if r.Jumps > 0 {
		v.Jump = &JumpView{r.Jump.By.Seconds(), r.Jump.At}
	}
	for _, vm := range slices.Sorted(maps.Keys(r.Replicas)) {
		for _, host := range slices.Sorted(maps.Keys(r.Replicas[vm])) {
			p := r.Replicas[vm][host]
			w := ReplicaView{VM: vm, Host: host, Own: p.Own, Age: p.Age.Seconds(), Worst: p.Worst.Seconds()}
			if p.Interval > 0 {
				w.Interval, w.KeptUp = new(p.Interval.Seconds()), new(p.keptUp())
			}
			v.Replicas = append(v.Replicas, w)
		}
	}
	if t, ok := r.Quiet(); ok && r.Renewals > 0 {
		v.Quiet, v.QuietRenew = new(t.Timeout.Seconds()), new(t.Renew.Seconds())
	}
	return v
}

func (h *Histogram) spread() Spread {
	s := Spread{P50: h.Quantile(0.5).Seconds(), P99: h.Quantile(0.99).Seconds(), Worst: h.Worst.Seconds()}
	if !h.At.IsZero() {
		s.At = new(h.At)
	}
	return s
}

func (s Silence) view() GapView {
	v := GapView{Seconds: s.Length.Seconds(), Cause: s.Cause, Open: s.Open}
	if !s.At.IsZero() {
		v.At = new(s.At)
	}
	return v
}

// enough is how many beats a verdict rests on at least.
const enough = 100

// check is one figure that a verdict rests on.
type check struct {
	what      string
	is, bound time.Duration
}

// verdict is yes if all figures are within their bounds.
func (r *Report) verdict(checks ...check) Verdict {
	if r.Store.Total() < enough {
		return Verdict{nil, fmt.Sprintf("fewer than %d beats were answered", enough)}
	}
	well, texts := true, []string{}
	for _, c := range checks {
		word := "within"
		if c.is > c.bound {
			well, word = false, "over"
		}
		texts = append(texts, fmt.Sprintf("%s %s, %s %s", c.what, short(c.is), word, short(c.bound)))
	}
	return Verdict{&well, strings.Join(texts, "; ")}
}

// predictable: the hosts and what lies between them can be relied on to renew in
// time, with as much again in hand.
func (r *Report) predictable() Verdict {
	t := r.Timings
	return r.verdict(
		check{"99 % of beats answered in", r.Store.Quantile(0.99), t.Interval / 2},
		check{"99 % begun late by", r.Late.Quantile(0.99), t.Interval / 2},
		check{"worst gap", r.Gap.Length, t.Renew / 2},
	)
}

func (r *Report) storeKept() Verdict {
	t := r.Timings
	v := r.verdict(
		check{"99 % of beats answered in", r.Store.Quantile(0.99), t.Interval / 2},
		check{"the slowest in", r.Store.Worst, t.Renew / 2},
	)
	if v.Is != nil {
		well := *v.Is && r.Failed*100 <= r.Beats
		v.Is, v.Why = &well, fmt.Sprintf("%s; %d of %d failed", v.Why, r.Failed, r.Beats)
	}
	return v
}

// keptUp: at most one look in a hundred found it behind.
func (p Replica) keptUp() bool { return p.Behind*100 <= p.Samples }

func (r *Report) replicasKept() Verdict {
	known, behind := 0, []string{}
	for _, vm := range slices.Sorted(maps.Keys(r.Replicas)) {
		for _, host := range slices.Sorted(maps.Keys(r.Replicas[vm])) {
			switch p := r.Replicas[vm][host]; {
			case p.Interval == 0:
			case p.keptUp():
				known++
			default:
				known++
				behind = append(behind, clean(vm+" on "+host))
			}
		}
	}
	switch {
	case known == 0:
		return Verdict{nil, "no snapshots that would tell were seen"}
	case len(behind) == 0:
		return Verdict{new(true), fmt.Sprintf("none of %d was behind", known)}
	}
	const most = 5
	text := strings.Join(behind[:min(len(behind), most)], ", ")
	return Verdict{new(false), fmt.Sprintf("%d of %d were behind: %s", len(behind), known, text)}
}

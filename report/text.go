package report

import (
	"fmt"
	"time"
)

// Lines tells the report to people.
func (v View) Lines() []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, clean(fmt.Sprintf(format, args...))) }
	mode := ""
	if v.Debug {
		mode = " (debug mode: nothing is done)"
	}
	say("node %s of cluster %s%s, from %s to %s, %d starts", v.Node, v.Cluster, mode, when(v.From), when(v.To), v.Runs)
	say("timings: interval %s, takeover timeout %s, renew deadline %s", sec(v.Interval), sec(v.Timeout), sec(v.Renew))
	say("beats: %d, of which %d renewed the lease and %d failed", v.Beats, v.Renewals, v.Failed)
	say("store: answered a beat in %s (50 %%), %s (99 %%), %s at worst%s", sec(v.Store.P50), sec(v.Store.P99), sec(v.Store.Worst), at(v.Store.At))
	say("host: began a beat late by %s (50 %%), %s (99 %%), %s at worst%s", sec(v.Late.P50), sec(v.Late.P99), sec(v.Late.Worst), at(v.Late.At))
	say("worst gap between renewals here: %s", v.Gap.text())
	for _, p := range v.Peers {
		say("worst silence of %s: %s", p.Node, p.Gap.text())
	}
	if v.Jump != nil {
		say("clock: %d jumps of the wall clock, the longest by %s%s", v.Jumps, sec(v.Jump.Seconds), at(&v.Jump.At))
	} else {
		say("clock: no jump of the wall clock")
	}
	for _, r := range v.Replicas {
		what := "replica"
		if r.Own {
			what = "own snapshots"
		}
		interval, kept := "unknown", ""
		if r.Interval != nil {
			interval, kept = sec(*r.Interval).String(), ": kept up"
			if !*r.KeptUp {
				kept = ": BEHIND"
			}
		}
		say("%s of %s on %s: %s old, %s at worst, interval %s%s", what, r.VM, r.Host, sec(r.Age), sec(r.Worst), interval, kept)
	}
	say("leases lost: %d; silences of others for the takeover timeout: %d; failovers that debug mode kept from being made: %d",
		v.Happened.Fenced, v.Happened.Silent, v.Happened.FailedOver)
	for _, e := range v.Events {
		say("%s %s", when(e.At), e.text(v.Debug))
	}
	if v.Quiet != nil {
		say("smallest takeover timeout that would have been quiet: %s (renew deadline %s)%s", sec(*v.Quiet), sec(*v.QuietRenew), v.still())
	} else {
		say("smallest takeover timeout that would have been quiet: none is known")
	}
	say("predictable: %s", v.Predictable.text())
	say("store kept up: %s", v.StoreKept.text())
	say("replicas kept up: %s", v.ReplicaKept.text())
	return lines
}

// still warns of a gap that may be longer than is known.
func (v View) still() string {
	open := v.Gap.Open
	for _, p := range v.Peers {
		open = open || p.Gap.Open
	}
	if open {
		return ", or longer: a gap had not ended"
	}
	return ""
}

func (g GapView) text() string {
	if g.At == nil {
		return "none"
	}
	least := ""
	if g.Open {
		least = ", not ended"
	}
	return fmt.Sprintf("%s%s%s: %s", sec(g.Seconds), at(g.At), least, g.Cause)
}

func (e EventView) text(debug bool) string {
	switch e.Kind {
	case Fenced:
		verb := "lost its lease"
		if debug {
			verb = "would have been fenced"
		}
		return fmt.Sprintf("%s %s after %s: %s", e.Node, verb, sec(e.Seconds), e.Why)
	case Silent:
		return fmt.Sprintf("%s was silent for %s: %s", e.Node, sec(e.Seconds), e.Why)
	case FailedOver:
		return fmt.Sprintf("%s would have been failed over: %s", e.Node, e.Why)
	}
	return fmt.Sprintf("%s %s: %s", e.Kind, e.Node, e.Why)
}

func (v Verdict) text() string {
	switch {
	case v.Is == nil:
		return "not known: " + v.Why
	case *v.Is:
		return "yes: " + v.Why
	}
	return "NO: " + v.Why
}

func sec(s float64) time.Duration { return short(time.Duration(s * float64(time.Second))) }

func when(t time.Time) string { return t.Local().Format(time.DateTime) }

func at(t *time.Time) string {
	if t == nil {
		return ""
	}
	return " (" + when(*t) + ")"
}

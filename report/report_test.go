package report_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/report"
)

var (
	epoch      = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	timings, _ = lease.NewTimings(30*time.Second, time.Second) // D is 13 s
)

const ms = time.Millisecond

// script drives a recorder: its two clocks go on together unless it says otherwise.
type script struct {
	*report.Recorder
	now         time.Duration
	set         time.Duration // how far the wall clock was set
	incarnation string
	raw         map[string]int
	of          map[string]string // incarnation of another node
}

func begin(before *report.Report) *script {
	return &script{
		Recorder: report.New("c", "a", before, epoch), now: time.Hour, incarnation: "a1", raw: map[string]int{}, of: map[string]string{},
	}
}

func (s *script) wall() time.Time { return epoch.Add(s.now - time.Hour + s.set) }

// beat is one that takes a time; trouble is why it fails.
func (s *script) beat(took time.Duration, trouble string) {
	b := report.Beat{Began: s.now, Incarnation: s.incarnation, Timings: timings, Counted: trouble == "", Trouble: trouble}
	s.now += took
	b.Answered, b.Now, b.Wall = s.now, s.now, s.wall()
	s.Beat(b)
	s.Active(s.now)
}

// look reads another node's heartbeat; news is a new number in it.
func (s *script) look(node string, news bool, change ...func(l *report.Look)) {
	if news {
		s.raw[node]++
	}
	if s.of[node] == "" {
		s.of[node] = node + "1"
	}
	l := report.Look{
		Begun: s.now, Ended: s.now + ms, Raw: fmt.Sprint(s.raw[node]), Incarnation: s.of[node], Interval: time.Second,
	}
	for _, c := range change {
		c(&l)
	}
	s.Saw(node, l)
}

// well are beats of 10 ms an interval apart, in which b is heard of.
func (s *script) well(beats int) {
	for range beats {
		s.beat(10*ms, "")
		s.look("b", true)
		s.now += time.Second - 10*ms
	}
}

// goes lets time pass.
func (s *script) goes(d time.Duration) { s.now += d }

func near(a, b time.Duration) bool { return (a - b).Abs() <= 20*ms }

// TestGaps: how long this node went without a renewal, dated from before its request
// to the answer of the next, and why.
func TestGaps(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(s *script)
		gap   time.Duration
		cause string
		open  bool
	}{
		{"none yet", func(s *script) { s.beat(10*ms, "") }, 0, "", false},
		{"all is well", func(s *script) { s.well(5) }, time.Second + 10*ms, "the store took 10ms to answer", false},
		{"a slow answer", func(s *script) { s.well(3); s.beat(4*time.Second, ""); s.well(3) }, 5 * time.Second, "the store took 4s to answer", false},
		{
			"a failed beat", func(s *script) { s.well(3); s.beat(10*ms, "cut\noff"); s.goes(990 * ms); s.well(2) },
			2*time.Second + 10*ms, "cut off", false,
		},
		{
			"failures that have not ended", func(s *script) { s.well(3); s.beat(time.Second, "cut"); s.beat(time.Second, "cut off") },
			3 * time.Second, "cut off", true,
		},
		{
			"a host that was paused", func(s *script) { s.well(3); s.goes(5 * time.Second); s.well(3) }, 6*time.Second + 10*ms,
			"this host let a beat wait for 5s: it was paused, suspended or overloaded", false,
		},
		{
			"the worse of two", func(s *script) { s.well(2); s.goes(5 * time.Second); s.well(2); s.goes(3 * time.Second); s.well(2) },
			6*time.Second + 10*ms, "this host let a beat wait for 5s", false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := begin(nil)
			c.do(s)
			g := s.Report().Gap
			if !near(g.Length, c.gap) || !strings.HasPrefix(g.Cause, c.cause) || g.Open != c.open {
				t.Errorf("%+v, want %s (open: %t): %s", g, c.gap, c.open, c.cause)
			}
		})
	}
}

// TestSilences: how long others were not heard of, as far as that could be judged.
func TestSilences(t *testing.T) {
	silent := func(s *script, beats int) {
		for range beats {
			s.beat(10*ms, "")
			s.look("b", false)
			s.now += 990 * ms
		}
	}
	for _, c := range []struct {
		name    string
		do      func(s *script)
		silence time.Duration
		cause   string
		open    bool
	}{
		{"all is well", func(s *script) { s.well(5) }, time.Second, "then the same incarnation went on", false},
		{"five beats", func(s *script) { s.well(5); silent(s, 5); s.well(5) }, 6 * time.Second, "then the same incarnation went on", false},
		{"that has not ended", func(s *script) { s.well(5); silent(s, 5) }, 5 * time.Second, "it had not been heard of again", true},
		{
			"another incarnation", func(s *script) { s.well(5); silent(s, 5); s.of["b"] = "b2"; s.well(5) }, 6 * time.Second,
			"then another incarnation followed", false,
		},
		{"one of which nothing was ever seen", func(s *script) { silent(s, 20) }, 0, "", false},
		{
			"this node's own outage is nobody's silence", func(s *script) {
				s.well(5)
				for range 8 {
					s.beat(time.Second, "cut off")
				}
				s.well(5)
			}, time.Second, "then the same incarnation went on", false,
		},
		{
			"nor are looks without a lease", func(s *script) {
				s.well(5)
				s.Lost(s.now, s.wall())
				silent := func() { s.beat(10*ms, "cut off"); s.look("b", false); s.goes(990 * ms) }
				for range 20 {
					silent()
				}
				s.incarnation = "a2"
				s.well(5)
			}, time.Second, "then the same incarnation went on", false,
		},
		{
			"nor is an orderly end", func(s *script) {
				s.well(5)
				s.beat(10*ms, "")
				s.look("b", true, func(l *report.Look) { l.Ending = true })
				s.goes(990 * ms)
				silent(s, 60)
				s.of["b"] = "b2"
				s.well(5)
			}, time.Second, "then the same incarnation went on", false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := begin(nil)
			c.do(s)
			w := s.Report().Peers["b"].Worst
			if !near(w.Length, c.silence) || !strings.HasPrefix(w.Cause, c.cause) || w.Open != c.open {
				t.Errorf("%+v, want %s (open: %t): %s", w, c.silence, c.open, c.cause)
			}
		})
	}
}

// TestEvents: of many the newest are kept, and all are counted.
func TestEvents(t *testing.T) {
	s := begin(nil)
	s.well(3)
	s.beat(time.Second, "no such host")
	s.goes(12 * time.Second)
	s.Lost(s.now, s.wall())
	s.FailedOver("b", "silence\x1b", s.wall())
	s.incarnation = "a2"
	s.well(2)
	for range 2 {
		s.look("b", false, func(l *report.Look) { l.Stale = true }) // told once
	}
	r := s.Report()
	var got []string
	for _, e := range r.Events {
		got = append(got, fmt.Sprintf("%s %s: %s", e.Kind, e.Node, e.Why))
	}
	want := []string{
		"fenced a: no renewal was answered in time: no such host", "failed-over b: silence", "silent b: no sign of life for the takeover timeout",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if e := r.Events[0]; !near(e.Lasted, 14*time.Second) || !e.At.Equal(epoch.Add(16*time.Second)) {
		t.Errorf("%+v", e)
	}
	if g := r.Gap; !near(g.Length, 14*time.Second) {
		t.Errorf("worst gap: %+v", g)
	}
	for n := range 250 {
		s.FailedOver("b", fmt.Sprint(n), s.wall())
	}
	if r := s.Report(); len(r.Events) != 100 || r.Events[0].Why != "150" || r.Events[99].Why != "249" || r.Happened[report.FailedOver] != 251 {
		t.Errorf("%d events from %q to %q, %v", len(r.Events), r.Events[0].Why, r.Events[len(r.Events)-1].Why, r.Happened)
	}
}

// TestLossWhilePaused: no beat failed, so this host made none.
func TestLossWhilePaused(t *testing.T) {
	s := begin(nil)
	s.well(3)
	s.goes(20 * time.Second)
	s.Lost(s.now, s.wall())
	want := "no renewal was answered in time: this host let a beat wait for 20s: it was paused, suspended or overloaded"
	if e := s.Report().Events; len(e) != 1 || e[0].Why != want {
		t.Errorf("%+v", e)
	}
}

// TestLate: what a beat waits for while this node looks at the others is not its
// host's doing.
func TestLate(t *testing.T) {
	s := begin(nil)
	for range 3 {
		s.beat(900*ms, "")
		s.goes(400 * ms)
		s.Active(s.now)
	}
	if l := s.Report().Late; l.Worst != 0 || l.Total() != 2 {
		t.Errorf("busy all the time, and late by %s of %d", l.Worst, l.Total())
	}
	s.goes(50 * ms)
	s.beat(10*ms, "")
	if l := s.Report().Late; l.Worst != 50*ms {
		t.Errorf("late by %s", l.Worst)
	}
}

func TestClockJumps(t *testing.T) {
	s := begin(nil)
	s.well(3)
	s.set += 200 * ms // what a time service corrects
	s.well(3)
	s.set -= time.Hour
	s.well(3)
	s.set += 3 * time.Second
	s.well(3)
	r := s.Report()
	if r.Jumps != 2 || r.Jump.By != -time.Hour {
		t.Errorf("%d jumps, the worst %+v", r.Jumps, r.Jump)
	}
	if !near(r.Gap.Length, time.Second+10*ms) {
		t.Errorf("a clock that was set made a gap: %+v", r.Gap)
	}
	// Between two times with a monotonic reading no jump could be seen.
	s.Beat(report.Beat{Wall: time.Now(), Now: s.now, Timings: timings})
	if to := s.Report().To; to != to.Round(0) {
		t.Errorf("%v", to)
	}
}

// TestQuantiles are not too short, and at most a fifth too long.
func TestQuantiles(t *testing.T) {
	s := begin(nil)
	for n := range 1000 {
		s.beat(time.Duration(n+1)*ms, "")
	}
	h := s.Report().Store
	for q, want := range map[float64]time.Duration{0.001: ms, 0.5: 500 * ms, 0.99: 990 * ms, 1: 1000 * ms} {
		if got := h.Quantile(q); got < want || got > want*6/5 {
			t.Errorf("quantile %g: %s, want %s", q, got, want)
		}
	}
	if h.Worst != time.Second || h.Total() != 1000 {
		t.Errorf("worst %s of %d", h.Worst, h.Total())
	}
	var none report.Histogram
	if got := none.Quantile(0.5); got != 0 {
		t.Errorf("of none: %s", got)
	}
}

// TestGoesOn: a restart keeps what was recorded, and begins no gap of its own.
func TestGoesOn(t *testing.T) {
	s := begin(nil)
	s.well(150)
	s.goes(3 * time.Second)
	s.well(2)
	data, err := s.Report().Seal()
	if err != nil {
		t.Fatal(err)
	}
	before, err := report.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s.Report(), before); d != "" {
		t.Error(d)
	}
	again := begin(before)
	again.goes(24 * time.Hour)
	again.well(5)
	r := again.Report()
	if r.Runs != 2 || r.Beats != 157 || !near(r.Gap.Length, 4*time.Second+10*ms) || !near(r.Peers["b"].Worst.Length, time.Second) {
		t.Errorf("%d runs, %d beats, gap %+v, %+v", r.Runs, r.Beats, r.Gap, r.Peers)
	}
	if before.Beats != 152 {
		t.Error("what was loaded has changed")
	}
}

// TestForget drops who is no member any more.
func TestForget(t *testing.T) {
	s := begin(nil)
	s.well(5)
	s.Lag([]report.Lag{{VM: "v", Host: "b", Age: time.Second}, {VM: "v", Host: "a"}, {VM: "w", Host: "b"}}, s.wall())
	s.Forget(func(n string) bool { return n == "a" })
	r := s.Report()
	if _, there := r.Replicas["w"]; len(r.Peers) > 0 || there || len(r.Replicas["v"]) != 1 {
		t.Errorf("%+v %+v", r.Peers, r.Replicas)
	}
}

func TestUnreadable(t *testing.T) {
	s := begin(nil)
	good, err := s.Report().Seal()
	if err != nil {
		t.Fatal(err)
	}
	other := s.Report()
	other.Version++
	newer, err := other.Seal()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := record.Seal("memory", other)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"torn": good[:len(good)/2], "another version": newer, "another kind": foreign, "empty": nil} {
		if r, err := report.Open(data); err == nil || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

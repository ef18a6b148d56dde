package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/demo/check"
)

// A run's number of rounds, and the seed of its choices.
const (
	envRounds = "HOSTER_HA_ROUNDS"
	envSeed   = "HOSTER_HA_SEED"
)

// what can happen to the master in a round.
const (
	kill   = "SIGKILL"
	term   = "SIGTERM"
	freeze = "SIGSTOP until another is master, SIGCONT"
	blink  = "SIGSTOP, SIGCONT at any time"
	off    = "power off"
)

// BenchmarkHundredRounds has the master of three hosts with VMs killed,
// stopped and frozen at random moments, a hundred times over. No timing is
// asserted: what counts is that after all of it the ledger, the answers on
// /primary and the VMs' own records show no double holder and no double run.
func BenchmarkHundredRounds(b *testing.B) {
	rounds, seed := number(b, envRounds, 100), number(b, envSeed, int(time.Now().UnixNano()))
	say(b, "%d rounds, %s=%d", rounds, envSeed, seed)
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	l := newLab(b, true, threeHosts)
	took, count := map[string][]time.Duration{}, map[string]int{}
	began := time.Now()
	for i := range rounds {
		what := []string{kill, kill, kill, term, term, freeze, freeze, freeze, blink, blink, off}[rnd.IntN(11)]
		l.await("every VM is placed", func() bool { return len(l.tail().State.Failovers) == 0 })
		l.comeBack()
		if rnd.IntN(3) > 0 {
			l.ready()
		}
		l.masterWithVMs()
		pause(time.Duration(rnd.Int64N(int64(5 * interval))))
		count[what]++
		if d := l.round(what, rnd); d > 0 {
			took[what] = append(took[what], d)
		}
		if i%10 == 9 {
			say(b, "%d rounds in %s, epoch %d, ledger %d", i+1, time.Since(began).Round(time.Second), l.tail().Epoch, l.tail().Seq)
		}
	}
	l.comeBack()
	l.await("all VMs run", l.allRun)
	say(b, "%v in %s", count, time.Since(began).Round(time.Second))
	l.report(b, took)
	metric(b, "rounds", float64(rounds))
}

// round does one thing to the master, and brings it back. It gives the time
// until another was master, 0 where none needed to be.
func (l *lab) round(what string, rnd *rand.Rand) time.Duration {
	l.tb.Helper()
	master := l.settle()
	epoch := l.tail().Epoch + 1
	began := time.Now()
	switch what {
	case kill:
		master.kill()
	case off:
		l.powerOff(master)
	case term:
		master.proc.signal(l.tb, syscall.SIGTERM)
	case freeze:
		master.freeze()
	case blink:
		master.freeze()
		pause(interval + time.Duration(rnd.Int64N(int64(2*takeoverTimeout))))
		master.thaw()
		return 0
	}
	took := l.published(master, epoch).Sub(began)
	switch what {
	case kill:
		pause(time.Duration(rnd.Int64N(int64(takeoverTimeout))))
		master.start()
	case off:
		l.powerOn(master)
	case term:
		master.gone()
		master.start()
	case freeze:
		pause(time.Duration(rnd.Int64N(int64(takeoverTimeout))))
		master.thaw()
	}
	return took
}

// report judges the run and prints its figures.
func (l *lab) report(b *testing.B, took map[string][]time.Duration) {
	b.Helper()
	holders := l.faults()
	r, err := check.Check(l.root)
	if err != nil {
		b.Fatal(err)
	}
	runs := slices.DeleteFunc(slices.Clone(r.Violations), func(v check.Violation) bool { return v.Kind != check.Overlap })
	if n := len(holders) + len(r.Violations); n > 0 {
		b.Errorf("%d violations; each is listed at the end", n)
	}
	for _, kind := range []string{kill, off, freeze, term} {
		if len(took[kind]) > 0 {
			say(b, "takeover after %s: median %s, max %s of %d", kind, median(took[kind]).Round(time.Millisecond),
				slices.Max(took[kind]).Round(time.Millisecond), len(took[kind]))
		}
	}
	silent := slices.Concat(took[kill], took[off], took[freeze])
	var restarts int
	var lost time.Duration
	for _, v := range r.VMs {
		restarts += len(v.Moves)
		for _, m := range v.Moves {
			lost = max(lost, m.DataLost)
		}
	}
	metric(b, "ns/op", 0)
	metric(b, "double-holders", float64(len(holders)))
	metric(b, "double-runs", float64(len(runs)))
	metric(b, "VM-restarts", float64(restarts))
	metric(b, "s/data-lost-max", lost.Seconds())
	metric(b, "epochs", float64(l.tail().Epoch))
	metric(b, "leases-lost", float64(l.lost(nil)))
	metric(b, "ms/takeover-median", median(silent).Seconds()*1000)
}

// number is a whole number from the environment, or another one.
func number(b *testing.B, name string, otherwise int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s=%q: a whole number", name, text)
	}
	return n
}

// say tells how far a long run is, at once.
func say(b *testing.B, format string, args ...any) {
	b.Helper()
	fmt.Fprintf(os.Stderr, "%s: "+format+"\n", append([]any{b.Name()}, args...)...)
}

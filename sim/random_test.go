package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

var (
	seedFlag  = flag.Uint64("sim.seed", 0, "run the schedule of this seed alone")
	countFlag = flag.Int("sim.schedules", 0, "how many schedules TestRandom runs (0: the default)")
	firstFlag = flag.Uint64("sim.first", 1, "the seed that TestRandom begins with")
	stopFlag  = flag.Bool("sim.stop", true, "stop at the first failure")
	logFlag   = flag.Bool("sim.log", false, "print all that happens")
)

// stuck is how long a schedule may take in real time before its bubble is taken
// to hang.
const stuck = 2 * time.Minute

// TestMain makes, outside of any bubble, what package record makes at its first
// use and all bubbles share.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400) // memory is no concern here, time is
	data, err := record.Seal("warm", strings.Repeat("0123456789abcdef", 1<<10))
	if err == nil {
		var s string
		err = record.Open("warm", data, &s)
	}
	if err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// run lets a script happen in a bubble of its own, and fails the test where a
// rule is broken.
func run(t *testing.T, seed uint64, s script, tick time.Duration, prepare func(*world)) (w *world) {
	t.Helper()
	watch := time.AfterFunc(stuck, func() {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "seed %d hangs\n%s\n%s\n", seed, s, buf[:runtime.Stack(buf, true)])
		panic("a schedule hangs")
	})
	defer watch.Stop()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, seed)
		if *logFlag {
			w.log = t.Output()
		}
		if prepare != nil {
			prepare(w)
		}
		if err := w.play(s, tick); err != nil {
			t.Error(err)
		}
		w.end()
	})
	return w
}

// coarseTick is how often a schedule is looked at between its events.
const coarseTick = 500 * time.Millisecond

func (w *world) report(t *testing.T, s script) {
	t.Helper()
	trace := w.trace[max(0, len(w.trace)-keptTrace):]
	t.Errorf("seed %d (go test ./sim -run TestRandom -sim.seed=%d):\n  %s\n%s-- trace --\n%s",
		w.seed, w.seed, strings.Join(w.violations, "\n  "), s, strings.Join(trace, "\n"))
}

// schedule runs the schedule of one seed.
func schedule(t *testing.T, seed uint64) *world {
	t.Helper()
	s := generate(seed)
	w := run(t, seed, s, coarseTick, func(w *world) { w.restarts = true })
	if len(w.violations) > 0 {
		w.report(t, s)
	}
	return w
}

// total gathers what many schedules came to.
type total struct {
	mu        sync.Mutex
	begun     int
	schedules int
	stats     stats
	excuses   map[string][]uint64 // seeds, by what the alarm said
}

func (c *total) next(first uint64, more func(c *total) bool) (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !more(c) {
		return 0, false
	}
	c.begun++
	return first + uint64(c.begun-1), true
}

func (c *total) add(seed uint64, w *world) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schedules++
	c.stats.add(w.stats)
	for _, e := range w.excuses {
		c.excuses[e] = append(c.excuses[e], seed)
	}
}

// TestRandom runs random schedules. A failure prints its seed.
func TestRandom(t *testing.T) {
	if *seedFlag != 0 {
		schedule(t, *seedFlag)
		return
	}
	n := *countFlag
	if n == 0 {
		n = schedules
	}
	many(t, *firstFlag, func(c *total) bool { return c.begun < n })
}

// many runs the schedules of the seeds from first on, on all processors, while
// more says so.
func many(t *testing.T, first uint64, more func(c *total) bool) *total {
	t.Helper()
	c := &total{excuses: map[string][]uint64{}}
	began := time.Now()
	t.Run("all", func(t *testing.T) {
		workers := runtime.GOMAXPROCS(0)
		for k := range workers {
			t.Run(fmt.Sprintf("batch-%d", k), func(t *testing.T) {
				t.Parallel()
				for !t.Failed() || !*stopFlag {
					seed, ok := c.next(first, more)
					if !ok {
						return
					}
					c.add(seed, schedule(t, seed))
				}
			})
		}
	})
	took := time.Since(began)
	t.Logf("%d schedules in %s, %.0f/s: %+v", c.schedules, took.Round(time.Millisecond), float64(c.schedules)/took.Seconds(), c.stats)
	for _, e := range sortedKeys(c.excuses) {
		t.Logf("alarm at the end of seeds %v: %s", c.excuses[e], e)
	}
	return c
}

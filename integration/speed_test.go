package integration

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/integration/servers"
)

// measured is how many times a takeover is measured.
const measured = 20

// The goals of docs/results.md; they are figures and no assertions.
const (
	goalKilled     = takeoverTimeout + interval + 100*time.Millisecond
	goalTerminated = 2 * interval
)

// BenchmarkTakeoverAfterKill measures from SIGKILL of the master to the
// standby's heartbeat in the folder that says MASTER.
func BenchmarkTakeoverAfterKill(b *testing.B) {
	benchmarkTakeover(b, pair(b), syscall.SIGKILL, goalKilled)
}

// BenchmarkTakeoverAfterTerm is the same after a graceful TERM.
func BenchmarkTakeoverAfterTerm(b *testing.B) {
	benchmarkTakeover(b, pair(b), syscall.SIGTERM, goalTerminated)
}

// BenchmarkTakeoverOnMinIO is both over a bucket.
func BenchmarkTakeoverOnMinIO(b *testing.B) {
	server := servers.Start(b, servers.MinIO)
	server.Bucket(b, "cluster")
	b.Run("kill", func(b *testing.B) {
		benchmarkTakeover(b, pairAt(b, "minio+http://"+server.Address+"/cluster/kill"), syscall.SIGKILL, goalKilled)
	})
	b.Run("term", func(b *testing.B) {
		benchmarkTakeover(b, pairAt(b, "minio+http://"+server.Address+"/cluster/term"), syscall.SIGTERM, goalTerminated)
	})
}

func benchmarkTakeover(b *testing.B, c *cluster, s os.Signal, goal time.Duration) {
	b.Helper()
	var took []time.Duration
	for range measured {
		master := c.settle()
		epoch := c.tail().Epoch + 1
		// Not always at the same point between two beats.
		pause(time.Duration(len(took)) * interval / measured)
		began := time.Now()
		master.proc.signal(b, s)
		took = append(took, c.published(master, epoch).Sub(began))
		<-master.proc.done
		master.start()
	}
	b.Logf("each: %v", took)
	metric(b, "ns/op", 0)
	metric(b, "ms/median", median(took).Seconds()*1000)
	metric(b, "ms/max", slices.Max(took).Seconds()*1000)
	metric(b, "ms/goal", goal.Seconds()*1000)
}

// published waits until a daemon other than one says in its heartbeat that it
// is master under the epoch, and gives the instant.
func (c *cluster) published(other *daemon, epoch uint64) (at time.Time) {
	c.tb.Helper()
	if !poll(patience, 2*time.Millisecond, func() bool {
		for _, d := range c.daemons {
			if hb := c.heartbeat(d.name); d != other && hb != nil && hb.State == "MASTER" && hb.Epoch >= epoch {
				at = time.Now()
				return true
			}
		}
		return false
	}) {
		c.tb.Fatalf("nobody but %s became master under epoch %d", other.name, epoch)
	}
	return at
}

// pause lets a chosen time pass: a moment to act at, not a wait for something.
func pause(d time.Duration) { <-time.After(d) }

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(all))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func metric(b *testing.B, unit string, value float64) {
	b.Helper()
	b.ReportMetric(value, unit)
}

// usageFor is how long the use of the processor is measured.
const usageFor = 40 * time.Second

// BenchmarkUsage measures what a daemon without VMs uses at the default
// interval of 1 s.
func BenchmarkUsage(b *testing.B) {
	c := pair(b, "--timeout", "30s", "--interval", "1s")
	measureUsage(b, c)
}

// BenchmarkUsageWithVMs is the same for hosts with VMs by the command driver;
// the commands that it runs are counted apart.
func BenchmarkUsageWithVMs(b *testing.B) {
	l := newLab(b, true, map[string][]string{"a": {"a1", "a2"}, "b": {"b1"}}, "--timeout", "30s", "--interval", "1s")
	measureUsage(b, l.cluster)
}

func measureUsage(b *testing.B, c *cluster) {
	if _, err := stat(os.Getpid()); err != nil {
		b.Skipf("nothing tells what a process uses here: %v", err)
	}
	master := c.settle()
	pause(5 * time.Second) // the start is over
	var before []usage
	for _, d := range c.daemons {
		u, err := stat(d.proc.pid())
		if err != nil {
			b.Fatal(err)
		}
		before = append(before, u)
	}
	began := time.Now()
	pause(usageFor)
	took := time.Since(began)
	for i, d := range c.daemons {
		u, err := stat(d.proc.pid())
		if err != nil {
			b.Fatal(err)
		}
		rss, err := resident(d.proc.pid())
		if err != nil {
			b.Fatal(err)
		}
		role := "standby"
		if d == master {
			role = "master"
		}
		percent := func(d time.Duration) float64 { return 100 * d.Seconds() / took.Seconds() }
		metric(b, "%core-"+role, percent(u.own-before[i].own))
		metric(b, "MB-"+role, float64(rss)/1e6)
		if u.children > 0 {
			metric(b, "%core-commands-"+role, percent(u.children-before[i].children))
		}
	}
	metric(b, "ns/op", 0)
}

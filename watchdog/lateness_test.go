package watchdog

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// latenessEnv makes the process measure, for so long, how late its loop turns.
const latenessEnv = "WATCHDOG_TEST_LATENESS"

// late runs a watchdog that does nothing but look at the clock, and prints by how much
// each turn came later than it should have.
func late(lasts time.Duration) {
	turns := make([]time.Duration, 0, 2*lasts/tick)
	ctx, cancel := context.WithCancel(context.Background())
	began := boottime.Now()
	o := Options{Action: ActionReboot, Now: func() time.Duration {
		now := boottime.Now()
		if len(turns) < cap(turns) {
			turns = append(turns, now)
		}
		if now-began > lasts {
			cancel()
		}
		return now
	}}
	if err := Run(ctx, filepath.Join(os.TempDir(), fmt.Sprintf("lateness-%d", os.Getpid()), "s"), o, func(r Report) { fmt.Printf("%+v\n", r) }); err != nil {
		fmt.Println(err)
	}
	for i := range turns[2:] {
		fmt.Println(int64(turns[i+2] - turns[i+1] - tick))
	}
}

// BenchmarkLateness measures the loop while every core is busy, with processes of the
// usual priority: docs/results.md.
func BenchmarkLateness(b *testing.B) {
	const lasts = 60 * time.Second
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var busy sync.WaitGroup
	for range 2 * runtime.NumCPU() {
		busy.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				runtime.KeepAlive(n)
			}
		})
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), latenessEnv+"="+lasts.String(), "TMPDIR="+b.TempDir())
	out, err := cmd.Output()
	must(b, err)
	cancel()
	busy.Wait()
	var all []time.Duration
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		var n int64
		if _, err := fmt.Sscan(lines.Text(), &n); err == nil {
			all = append(all, time.Duration(n))
		} else {
			b.Log(lines.Text())
		}
	}
	if len(all) < int(lasts/tick)/2 {
		b.Fatalf("%d turns in %s:\n%s", len(all), lasts, out)
	}
	slices.Sort(all)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "µs/median")
	b.ReportMetric(float64(all[len(all)*999/1000].Microseconds()), "µs/p99.9")
	b.ReportMetric(float64(all[len(all)-1].Microseconds()), "µs/max")
}

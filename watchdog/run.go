package watchdog

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// tick is how often the loop turns. A deadline is noticed that much too late at most,
// which the timings' margin covers.
const tick = 50 * time.Millisecond

// Report is what became of the process's own protection: "" each is well.
type Report struct {
	Realtime string
	Memory   string
}

// Run guards and answers at the socket until ctx has ended and no deadline is in force:
// whoever is armed is not ended by being asked to.
func Run(ctx context.Context, socket string, o Options, report func(Report)) error {
	l, err := listen(ctx, socket)
	if err != nil {
		return err
	}
	g := New(o)
	// Few and short pauses by the collector: what is left to collect is the answers'.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)
	g.Tick() // its path is in memory before that is locked
	var r Report
	if err := protect(); err != nil {
		r.Memory = err.Error()
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	var stop atomic.Bool
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with its priority
		if err := prioritize(); err != nil {
			r.Realtime = err.Error()
		}
		close(ready)
		for !stop.Load() {
			g.Tick()
			nap(tick)
		}
	}()
	<-ready
	report(r)
	served := make(chan struct{})
	go func() {
		defer close(served)
		g.serve(l)
	}()
	<-ctx.Done()
	for g.deadline.Load() != unarmed {
		<-time.After(tick)
	}
	_ = l.Close() // and with it the file
	<-served
	stop.Store(true)
	<-ended
	return nil
}

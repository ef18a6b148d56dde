package watchdog

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// tick is how often the loop turns; at a deadline it turns besides.
const tick = 50 * time.Millisecond

// Report is what became of the process's own protection: "" each is well. State tells it
// too.
type Report struct {
	Realtime string
	Memory   string
}

// Run guards and answers at the socket until ctx has ended, no deadline is in force and no
// device wants to be petted: whoever is armed is not ended by being asked to.
func Run(ctx context.Context, socket string, o Options, report func(Report)) error {
	here, err := claim(ctx, socket)
	if err != nil {
		return err
	}
	g := New(o)
	// Few and short pauses by the collector: what is left to collect is the answers'.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)
	g.Tick() // its path is in memory before that is locked
	var r Report
	var reported atomic.Value
	if err := protect(); err != nil {
		r.Memory = err.Error()
	}
	var stop atomic.Bool
	var loops, ready sync.WaitGroup
	loop := func(turn func()) {
		ready.Add(1)
		loops.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread ends with its priority
			if err := prioritize(); err != nil {
				reported.Store(err.Error())
			}
			ready.Done()
			for !stop.Load() {
				turn()
				nap(g.Rest())
			}
		})
	}
	loop(g.Tick)
	loop(func() { g.Judge() })
	ready.Wait()
	r.Realtime, _ = reported.Load().(string)
	g.report.Store(&r)
	report(r)
	over, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		newExplainer(g).run(over)
	}()
	served := make(chan struct{})
	go func() {
		defer close(served)
		g.serve(here.l)
	}()
	<-ctx.Done()
	for !g.end() {
		<-time.After(tick)
	}
	here.leave()
	<-served
	close(over)
	select {
	case <-told:
	case <-time.After(2 * time.Second): // it may wait for a disk
	}
	stop.Store(true)
	loops.Wait()
	return nil
}

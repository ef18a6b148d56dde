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
// device wants to be petted: whoever is armed is not ended by being asked to. A deadline
// that the program before has left in this process goes on, before anything else.
func Run(ctx context.Context, socket string, o Options, report func(Report)) error {
	h, err := inherited()
	if err != nil {
		return err
	}
	g := New(o)
	var here *place
	if h == nil {
		here, err = claim(ctx, socket)
	} else {
		g.resume(h)
		g.Tick()
		here, err = h.place(ctx, socket)
	}
	if err != nil && g.end() {
		return err // else it guards, though nobody can tell it anything
	}
	// Few and short pauses by the collector: what is left to collect is the answers'.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)
	g.Tick() // its path is in memory before that is locked
	stop := g.loops(report)
	over, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		newExplainer(g).run(over)
	}()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if here != nil {
			g.replace = (&replacer{g: g, here: here, ending: ctx.Done()}).replace
			g.serve(here.l)
		}
	}()
	if here != nil {
		<-ctx.Done()
	}
	for !g.end() {
		<-time.After(tick)
	}
	if here != nil {
		here.leave()
	}
	<-served
	close(over)
	select {
	case <-told:
	case <-time.After(2 * time.Second): // it may wait for a disk
	}
	stop()
	return err
}

// loops turns them until they are stopped.
func (g *Guard) loops(report func(Report)) (stop func()) {
	var r Report
	var reported atomic.Value
	if err := protect(); err != nil {
		r.Memory = err.Error()
	}
	var stopped atomic.Bool
	var loops, ready sync.WaitGroup
	loop := func(turn func()) {
		ready.Add(1)
		loops.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread ends with its priority
			if err := prioritize(); err != nil {
				reported.Store(err.Error())
			}
			ready.Done()
			for !stopped.Load() {
				turn()
				nap(g.Rest(tick))
			}
		})
	}
	loop(g.Tick)
	loop(func() { g.Judge() })
	ready.Wait()
	r.Realtime, _ = reported.Load().(string)
	g.report.Store(&r)
	report(r)
	return func() {
		stopped.Store(true)
		loops.Wait()
	}
}

package sim

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/local"
)

// proc is one process of the daemon: a node and all by which it touches the
// world. From the instant of its death it touches nothing any more.
type proc struct {
	h      *host
	node   *node.Node
	memory *local.Memory
	clock  *clock
	cancel context.CancelCauseFunc
	dead   chan struct{} // closed at its death
	done   chan struct{} // closed when all its goroutines have ended
	once   sync.Once
	paused atomic.Pointer[chan struct{}]
	listed atomic.Pointer[look] // where it looked for entries last
	err    error

	mu    sync.Mutex
	traps []*trap
	lease leaseBound
	// witness has a lock of its own.
	witness witness
	// lists is whether the driver last told this process that a VM of the cluster ran.
	lists bool
}

// trap is what happens to a process at its nth call of a kind.
type trap struct {
	what     string // crash, pause, or mount: its store is exchanged for an empty one
	op, key  string
	when     string // before or after
	n        int
	duration time.Duration // of a pause, or of the exchange
}

// kill ends the process at once; what it started runs on.
func (p *proc) kill() {
	p.once.Do(func() {
		h := p.h
		h.w.mu.Lock()
		close(p.dead)
		if h.proc == p {
			h.proc = nil
		}
		h.troubled = h.w.now()
		// Of the commands that it had under way some go on without it.
		h.pending = slices.DeleteFunc(h.pending, func(c *pending) bool {
			return c.by == p && h.w.draw("outlives", h.name, c.vm) < 0.5
		})
		h.w.mu.Unlock()
		p.cancel(node.ErrCrash)
	})
}

func (p *proc) ended() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

func (p *proc) isPaused() bool { return p.paused.Load() != nil }

// gate holds a paused process, and ends one that has died.
func (p *proc) gate() error {
	for {
		if p.ended() {
			return errDead
		}
		c := p.paused.Load()
		if c == nil {
			return nil
		}
		select {
		case <-*c:
		case <-p.dead:
			return errDead
		}
	}
}

// pause stops the process: nothing of it runs beyond the next call to the store
// or a driver, or the next look at its clock. That is also true of a process that
// gets a moment now and then.
func (p *proc) pause() {
	c := make(chan struct{})
	p.paused.CompareAndSwap(nil, &c)
}

func (p *proc) resume() {
	if c := p.paused.Swap(nil); c != nil {
		p.h.w.mu.Lock()
		p.h.troubled = p.h.w.now()
		p.h.w.mu.Unlock()
		close(*c)
	}
}

// stoppable are the functions of the node that read the clock without a lock
// held. Only there a paused process waits for its clock: with a lock held, the
// others that want it would keep the bubble's time from going on.
var stoppable = []string{
	"(*Node).beat", "(*Node).beats", "(*Node).look", "(*Node).heartbeat", "(*Node).judge", "(*Node).decide", "(*Node).elect",
	"(*host).query", "(*host).facts", "(*host).start", "(*host).stopBy",
}

// now is the boot-time clock as the node reads it.
func (p *proc) now() time.Duration {
	if p.isPaused() && stops() {
		_ = p.gate()
	}
	return p.clock.now()
}

func stops() bool {
	var pcs [8]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasSuffix(f.Function, "(*Node).now") {
			return slices.ContainsFunc(stoppable, func(s string) bool { return strings.HasSuffix(f.Function, s) })
		}
		if !more {
			return false
		}
	}
}

// step springs the traps that wait for this call.
func (p *proc) step(op, key, when string) {
	p.mu.Lock()
	var sprung []*trap
	p.traps = slices.DeleteFunc(p.traps, func(t *trap) bool {
		if t.when != when || (t.op != "" && t.op != op) || !strings.HasPrefix(key, t.key) {
			return false
		}
		t.n--
		if t.n <= 0 {
			sprung = append(sprung, t)
		}
		return t.n <= 0
	})
	p.mu.Unlock()
	for _, t := range sprung {
		p.h.w.tell("%s: %s %s %s %s", p.h.name, t.what, when, op, key)
		switch t.what {
		case "crash":
			p.kill()
			p.h.w.revived(p.h)
		case "mount":
			_ = p.h.w.exchange(p.h, []string{storeEmptied})
			time.AfterFunc(t.duration, func() { _ = p.h.w.exchange(p.h, []string{storeBack}) })
		default:
			p.pause()
			time.AfterFunc(t.duration, p.resume)
		}
	}
}

// files is the host's local memory, as one process writes it.
type files struct {
	local.Backend
	p *proc
}

func (f files) Write(name string, data []byte) error {
	if f.p.ended() {
		return errDead
	}
	return f.Backend.Write(name, data)
}

// timings are those derived from T 10 s, or ones in which every duration that only
// makes things safer is as short as it may be, so that what cuts into it shows.
func (s spec) timings() lease.Timings {
	t, err := lease.NewTimings(10*time.Second, time.Second)
	if s.tight {
		t.StopGrace, t.Kill, t.Watchdog, t.Margin = 20*time.Millisecond, 20*time.Millisecond, 0, 200*time.Millisecond
		t.Renew = t.Timeout - t.StopGrace - t.Kill - t.Margin
		err = lease.CheckTimings(t)
	}
	if err != nil {
		panic(err)
	}
	return t
}

// start runs a daemon on the host, by the same constructor as the product.
func (h *host) start() error {
	w := h.w
	w.mu.Lock()
	p := &proc{h: h, clock: h.clock, dead: make(chan struct{}), done: make(chan struct{})}
	ready, boot, memory, s := h.on && h.proc == nil, h.bootID(), h.memory, h.spec
	if ready && h.left() {
		h.mounted = nil // it is started with the new address
	}
	w.mu.Unlock()
	if !ready {
		return nil
	}
	m, err := local.NewOn(files{memory, p}, local.Host{Machine: "machine-" + h.name, Boot: boot})
	if err != nil {
		return fmt.Errorf("memory of %s: %w", h.name, err)
	}
	cfg := node.Config{
		Name: h.name, Role: s.role, Priority: s.priority, Store: link{p}, StoreURL: "memory", Memory: m,
		Timings: s.timings(), Debug: s.debug, Mode: s.mode, Promotion: s.promotion, OnStop: s.onStop, Grace: s.grace, Expect: s.expect,
		Version: s.version, Boot: boot, Log: zerolog.New(words{p}).Level(zerolog.WarnLevel),
		Clock: node.Clock{Now: p.now, Wall: func() time.Time { return time.Now().Add(time.Duration(h.wall.Load())) }},
	}
	if w.log != nil {
		cfg.Log = zerolog.New(zerolog.MultiLevelWriter(words{p}, zerolog.ConsoleWriter{Out: w.log, NoColor: true, PartsExclude: []string{"time"}})).With().Str("node", h.name).Logger()
	}
	if d := (driver{p}); !s.noDriver {
		cfg.Driver = d
		if s.self {
			cfg.Driver = selfDriver{d}
		}
		cfg.Provider = disks{d}
		cfg.Guard = p.guarded(s.guard)
	}
	p.node, p.memory = node.New(cfg), m
	ctx, cancel := context.WithCancelCause(outside)
	p.cancel = cancel
	w.mu.Lock()
	defer w.mu.Unlock()
	if !h.on || h.proc != nil {
		cancel(nil)
		return nil
	}
	h.proc, h.wanted, h.troubled, h.ordered = p, true, w.now(), false
	w.procs = append(w.procs, p)
	w.note("%s: its daemon starts", h.name)
	go p.run(ctx)
	return nil
}

func (p *proc) run(ctx context.Context) {
	defer close(p.done)
	p.err = p.node.Run(ctx)
	h, w := p.h, p.h.w
	w.mu.Lock()
	mine := h.proc == p
	if mine {
		h.proc, h.troubled, h.ordered = nil, w.now(), p.err == nil
	}
	w.mu.Unlock()
	if !mine {
		return
	}
	if p.err == nil {
		w.tell("%s: its daemon has ended in order", h.name)
	} else {
		w.tell("%s: its daemon has ended: %v", h.name, p.err)
	}
	p.kill()
	w.revived(h)
}

// revive starts the daemon again after a while, as a service manager does.
func (w *world) revive(h *host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.restarts || !h.wanted {
		return
	}
	time.AfterFunc(3*time.Second, func() {
		w.mu.Lock()
		again := w.restarts && h.wanted && h.on
		w.mu.Unlock()
		if again {
			_ = h.start()
		}
	})
}

// stop ends the daemon in order, as its --on-stop says.
func (h *host) stop() {
	h.w.mu.Lock()
	h.wanted = false
	p := h.proc
	h.w.mu.Unlock()
	if p != nil {
		p.cancel(context.Canceled)
	}
}

// primary says under which epoch a process takes itself for master now.
func (p *proc) primary() (uint64, bool) {
	if p.ended() {
		return 0, false
	}
	return p.node.Primary()
}

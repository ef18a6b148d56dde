package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// running is a node's process.
type running struct {
	*Node
	w      *world
	memory local.Backend
	store  *gated
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error
}

// gated is the store behind faults.
type gated struct {
	persistence.Store
	mu  sync.Mutex
	err func(op, key string) error
	// hang holds calls until it is closed.
	hang chan struct{}
	dear bool // listings are
}

// ListsDear implements persistence.Lister.
func (g *gated) ListsDear() bool { return g.dear }

// dear is a node over a store that would rather be read than listed.
func dear(c *Config) { c.Store.(*gated).dear = true }

func (g *gated) pass(ctx context.Context, op, key string) error {
	g.mu.Lock()
	f, hang := g.err, g.hang
	g.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", persistence.ErrUnknown, context.Cause(ctx))
		}
	}
	if f != nil {
		return f(op, key)
	}
	return nil
}

func (g *gated) Get(ctx context.Context, key string) (persistence.Object, error) {
	if err := g.pass(ctx, "get", key); err != nil {
		return persistence.Object{}, err
	}
	return g.Store.Get(ctx, key)
}

func (g *gated) Put(ctx context.Context, key string, v []byte) error {
	if err := g.pass(ctx, "put", key); err != nil {
		return err
	}
	return g.Store.Put(ctx, key, v)
}

func (g *gated) Create(ctx context.Context, key string, v []byte) error {
	if err := g.pass(ctx, "create", key); err != nil {
		return err
	}
	return g.Store.Create(ctx, key, v)
}

func (g *gated) List(ctx context.Context, folder string) ([]string, error) {
	if err := g.pass(ctx, "list", folder); err != nil {
		return nil, err
	}
	return g.Store.List(ctx, folder)
}

func (g *gated) cut(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = func(string, string) error { return err }
	if err == nil {
		g.err = nil
	}
}

// on lets a function answer in the store's place; nil leaves it to the store.
func (g *gated) on(f func(op, key string) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = f
}

var errNoStore = errors.New("the store is cut off")

var testTimings, _ = lease.NewTimings(10*time.Second, time.Second)

// start runs a node; change may alter its configuration.
func (w *world) start(name string, mem local.Backend, change ...func(*Config)) *running {
	if mem == nil {
		mem = local.Map()
	}
	m, err := local.NewOn(mem, local.Host{Machine: "machine-" + name, Boot: "boot-" + name})
	if err != nil {
		w.t.Fatal(err)
	}
	r := &running{w: w, memory: mem, done: make(chan struct{}), store: &gated{Store: w.store}}
	cfg := Config{
		Name: name, Role: ledger.RoleCandidate, Store: r.store, StoreURL: "memory", Memory: m, Timings: testTimings,
		Mode: ModeAuto, Promotion: PromotionAutomatic, OnStop: record.LeaveFreeze, Grace: time.Minute,
		Version: "1.0", Boot: "boot-" + name, Clock: Clock{Now: w.now, Wall: time.Now},
		Log: zerolog.New(zerolog.ConsoleWriter{Out: w.t.Output(), NoColor: true, PartsExclude: []string{"time"}}).
			With().Str("node", name).Logger(),
	}
	if h := w.hosts[name]; h != nil {
		cfg.Provider = disks{h}
		cfg.Driver, cfg.Clock.Now = h, h.now
		if h.self {
			cfg.Driver, cfg.OnStop = selfStopping{h}, record.LeaveMove
		}
	}
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	r.cancel = cancel
	w.runs = append(w.runs, r)
	r.Node = New(cfg)
	go func() {
		defer close(r.done)
		r.err = r.Run(ctx)
	}()
	return r
}

// kill ends the process at once; its VMs run on.
func (r *running) kill() {
	r.cancel(ErrCrash)
	<-r.done
}

// stop ends it in order.
func (r *running) stop() {
	r.cancel(context.Canceled)
	<-r.done
	if r.err != nil {
		r.w.t.Errorf("%s ended with %v", r.cfg.Name, r.err)
	}
}

package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Node is one member. Make it with New and run it once.
type Node struct {
	cfg     Config
	log     zerolog.Logger
	cluster string
	ledger  *ledger.Ledger
	lanes   lanes
	host    *host
	dear    bool // a listing of the store costs far more than a read

	// Owned by the beat.
	observer *lease.Observer
	seq      uint64
	last     *record.Heartbeat // last made
	sent     []byte            // last sent
	forked   int               // beats in a row with a peer of another history
	missing  uint64            // number that a peer has read and this node does not find
	proved   bool              // the store honours Create
	trouble  string            // of the last beat that was not answered
	strangers
	before      *record.Heartbeat // under its own name, when it started
	restartSafe bool              // same boot, lock held, own record stood still

	// Owned by the decider.
	decider

	report reporting

	kickBeat, kickDecide, kickHost chan struct{}

	started time.Time

	mu       sync.Mutex
	holder   *lease.Holder
	view     view
	released uint64 // epoch that this node gave up
	heir     string // whom it asked to claim
	ending   bool
	stats    Stats
	alarms   map[string][]string // by who raises them
}

// view is what the beat found, for the other loops to read.
type view struct {
	incarnation string // under which it was found
	tailRead    time.Duration
	nodes       map[string]lease.Node
	vacancy     lease.Vacancy
	began       time.Duration
	own         *record.Heartbeat // last answered
	failed      string            // history lost: no decision and no start
	forked      string            // a peer follows another history: the same
	unanswered  bool              // the last heartbeat was not
}

// doubt says why the history cannot be trusted, "" if it can.
func (v view) doubt() string {
	if v.failed != "" {
		return v.failed
	}
	return v.forked
}

// lanes are the store, one lane a purpose: at most one call hangs in each.
type lanes struct {
	tail, heartbeat, members, entries, requests, inventory persistence.Store
}

// Stats counts what a node did, for the metrics.
type Stats struct {
	Beats, BeatsFailed, LeasesLost, Claims, Entries uint64
	LastBeat                                        time.Duration // how long the last one took
	// Requests to the store, by purpose and kind.
	Requests map[string]map[string]uint64
}

// sparedListings is how many beats in a row do without one of the ledger, where
// listings are dear.
const sparedListings = 9

// New makes a node. Nothing is read or written before Run.
func New(cfg Config) *Node {
	n := &Node{
		cfg: cfg, log: cfg.Log,
		kickBeat: make(chan struct{}, 1), kickDecide: make(chan struct{}, 1), kickHost: make(chan struct{}, 1),
		alarms: map[string][]string{}, started: cfg.Clock.Wall(),
	}
	n.lanes = lanes{
		tail:      persistence.Lane(persistence.Separate(cfg.Store), "tail"),
		heartbeat: persistence.Lane(persistence.Separate(cfg.Store), "heartbeat"),
		members:   persistence.Lane(persistence.Separate(cfg.Store), "members"),
		entries:   persistence.Lane(persistence.Separate(cfg.Store), "entries"),
		requests:  persistence.Lane(persistence.Separate(cfg.Store), "requests"),
		inventory: persistence.Lane(persistence.Separate(cfg.Store), "inventory"),
	}
	n.ledger = ledger.New(readsWrites{Store: n.lanes.tail, writes: n.lanes.entries}, "")
	if n.dear = persistence.ListsDear(cfg.Store); n.dear {
		n.ledger.Spare(sparedListings)
	}
	n.decider = decider{
		inventories: map[string]*record.Inventory{}, asked: map[string]*record.Request{},
		orders: map[uint64]time.Duration{}, notes: map[uint64]note{},
	}
	n.host = newHost(n)
	n.report = newReporting(cfg)
	return n
}

// Run is the node's life: it finds or founds its cluster, takes part, and when
// ctx ends leaves it as Config.OnStop says. It returns nil after a graceful end.
func (n *Node) Run(ctx context.Context) error {
	crashed := func() bool { return errors.Is(context.Cause(ctx), ErrCrash) }
	bounded, cancel := n.host.inTime(ctx)
	defer cancel()
	if err := n.start(bounded); err != nil {
		if ended := ctx.Err() != nil; !crashed() {
			n.host.unstarted(context.WithoutCancel(ctx), err, ended)
			if ended {
				return nil
			}
		}
		return err
	}
	n.beginReport()
	// The loops outlive ctx until the node has left in order.
	loops, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	g, loops := errgroup.WithContext(loops)
	g.Go(func() error { return n.beats(loops) })
	g.Go(func() error { return n.decides(loops) })
	g.Go(func() error { return n.host.run(loops) })
	g.Go(func() error { return n.saves(loops) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			if !crashed() {
				n.leave(loops)
			}
			return errDone
		case <-loops.Done():
			return nil
		}
	})
	err := g.Wait()
	n.host.wait()
	n.endReport(ctx)
	switch {
	case errors.Is(err, errDone):
		return nil
	case !crashed():
		n.host.abandon(context.WithoutCancel(ctx), err)
	}
	return err
}

// errDone ends the loops after the node has left.
var errDone = errors.New("left")

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (n *Node) now() time.Duration { return n.cfg.Clock.Now() }

// timings are the cluster's, or this node's own before it has read any.
func (n *Node) timings() lease.Timings { return n.inForce().Timings }

// inForce are those by which others are judged.
func (n *Node) inForce() record.InForce {
	if tail := n.ledger.Tail(); tail.Entry != nil {
		return tail.State.InForce()
	}
	return record.InForce{Timings: n.cfg.Timings}
}

// state is that of the newest entry, an empty one before any was read.
func (n *Node) state() ledger.State {
	if tail := n.ledger.Tail(); tail.Entry != nil {
		return tail.State
	}
	return ledger.State{}
}

func (n *Node) member() (ledger.Member, bool) {
	tail := n.ledger.Tail()
	if tail.Entry == nil {
		return ledger.Member{}, false
	}
	m, ok := tail.State.Members[n.cfg.Name]
	return m, ok
}

func (n *Node) getHolder() *lease.Holder {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.holder
}

func (n *Node) getView() view {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.view
}

// mastership says whether this node is master at this instant: the newest
// entry says so of this incarnation, its lease is valid, it has not given the
// mastership up, and no history is in doubt. The epoch is its fencing token.
func (n *Node) mastership() (epoch uint64, ok bool) {
	tail := n.ledger.Tail()
	n.mu.Lock()
	defer n.mu.Unlock()
	if tail.Entry == nil || n.holder == nil || tail.State.Master != n.cfg.Name ||
		tail.State.Incarnation != n.holder.Incarnation() || n.released >= tail.Epoch || n.view.doubt() != "" {
		return 0, false
	}
	return tail.Epoch, n.holder.Valid(n.now())
}

// setAlarms replaces the alarms that one part of the node raises, and logs the
// new ones.
func (n *Node) setAlarms(who string, texts []string) {
	n.mu.Lock()
	old := n.alarms[who]
	n.alarms[who] = texts
	n.mu.Unlock()
	for _, t := range texts {
		if !slices.Contains(old, t) {
			n.log.Warn().Str("alarm", who).Msg(t)
		}
	}
	for _, t := range old {
		if !slices.Contains(texts, t) {
			n.log.Info().Str("alarm", who).Msg("over: " + t)
		}
	}
}

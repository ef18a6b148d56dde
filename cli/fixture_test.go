package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func TestMain(m *testing.M) {
	if record := os.Getenv(watchdogEnv); record != "" {
		os.Exit(guarding(record))
	}
	// The signal package's own goroutine must not begin inside a bubble.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR2)
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "HOSTER_HA_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// fixture is a cluster written by hand: nodes a (master, epoch 1) and b, timings
// of 30 s and 1 s, armed.
type fixture struct {
	t     *testing.T
	store persistence.Store // what commands open
	raw   *memory.Store
	led   *ledger.Ledger
	id    string
	skew  time.Duration // of the writers' clocks

	mu    sync.Mutex
	beats map[string]*record.Heartbeat
}

// bubble runs a test on a virtual clock.
func bubble(t *testing.T, f func(t *testing.T, c *fixture)) {
	synctest.Test(t, func(t *testing.T) { f(t, newFixture(t)) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := memory.New()
	c := &fixture{t: t, store: s, raw: s, id: "cluster-1", beats: map[string]*record.Heartbeat{}}
	data, err := record.Seal(record.KindCluster, record.Cluster{ID: c.id, Format: 1, Founder: "a", Founded: time.Now()})
	must(t, err)
	must(t, s.Create(t.Context(), "cluster.json", data))
	timings, err := lease.NewTimings(30*time.Second, time.Second)
	must(t, err)
	c.led = ledger.New(s, c.id)
	member := ledger.Member{Role: ledger.RoleCandidate, Machine: "m", Key: "k", URL: "http://x/"}
	must(t, c.led.Found(t.Context(), &ledger.Entry{
		Node: "a", Time: time.Now(), By: "node a", Why: "found the cluster",
		State: ledger.State{Timings: timings, Armed: true, Members: map[string]ledger.Member{"a": member, "b": member}},
	}))
	must(t, c.led.Load(t.Context(), ledger.Mark{}))
	c.entry(ledger.KindClaim, func(e *ledger.Entry) {
		e.Epoch = 1
		e.State.Master, e.State.Incarnation = "a", "a1"
		c.admit(e, "a", "a1")
		c.admit(e, "b", "b1")
	})
	c.beat("a", func(hb *record.Heartbeat) { hb.State, hb.Epoch = "MASTER", 1 })
	c.beat("b", nil)
	return c
}

// ctx does not end in the middle of what a goroutine does.
func (c *fixture) ctx() context.Context { return context.WithoutCancel(c.t.Context()) }

func (c *fixture) admit(e *ledger.Entry, node, incarnation string) {
	c.member(e, node, func(m *ledger.Member) { m.Admitted = incarnation })
}

func (c *fixture) member(e *ledger.Entry, node string, change func(m *ledger.Member)) {
	m := e.State.Members[node]
	change(&m)
	e.State.Members[node] = m
}

// entry appends one.
func (c *fixture) entry(kind string, change func(e *ledger.Entry)) {
	c.t.Helper()
	e := c.led.Next(kind, "a", "a1", time.Now())
	e.By, e.Why = "master", "test"
	if change != nil {
		change(e)
	}
	must(c.t, c.led.Append(c.ctx(), e))
}

// decide appends an entry that changes the state.
func (c *fixture) decide(change func(s *ledger.State)) {
	c.t.Helper()
	c.entry(ledger.KindDecide, func(e *ledger.Entry) { change(&e.State) })
}

// beat writes a node's next heartbeat.
func (c *fixture) beat(node string, change func(hb *record.Heartbeat)) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	hb := c.beats[node]
	if hb == nil {
		hb = &record.Heartbeat{
			Cluster: c.id, Node: node, Incarnation: node + "1", State: "STANDBY", Claims: true,
			Proof: record.ProofNothing, Version: "1", URL: "http://" + node + "/",
		}
		c.beats[node] = hb
	}
	tail := c.led.Tail()
	hb.Seq++
	hb.LedgerSeq, hb.LedgerHash, hb.Timings, hb.Wall = tail.Seq, tail.Hash, tail.State.Timings, time.Now().Add(c.skew)
	if change != nil {
		change(hb)
	}
	data, err := record.SealHeartbeat(hb)
	must(c.t, err)
	must(c.t, c.raw.Put(c.ctx(), record.HeartbeatKey(node), data))
}

// live lets a node's heart beat until the test ends.
func (c *fixture) live(node string, change func(hb *record.Heartbeat)) {
	done := c.t.Context().Done()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.beat(node, change)
			case <-done:
				return
			}
		}
	}()
}

func (c *fixture) inventory(node string, inv record.Inventory) {
	c.t.Helper()
	inv.Cluster, inv.Node, inv.Number = c.id, node, 1
	if inv.Incarnation == "" {
		inv.Incarnation = node + "1"
	}
	data, err := record.Seal(record.KindInventory, inv)
	must(c.t, err)
	must(c.t, c.raw.Put(c.t.Context(), record.InventoryKey(node), data))
}

// run is one call of the program.
func (c *fixture) run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, open: func(*config.Settings) (persistence.Store, error) { return c.store, nil }}
	code = a.main(c.ctx(), args)
	return code, out.String(), errs.String()
}

// wants runs a command and checks its exit code, and that its output contains
// some text.
func (c *fixture) wants(code int, text string, args ...string) string {
	c.t.Helper()
	got, stdout, stderr := c.run(args...)
	if got != code || !strings.Contains(stdout+stderr, text) {
		c.t.Errorf("%v: exit %d, want %d with %q\n%s%s", args, got, code, text, stdout, stderr)
	}
	if strings.Count(stderr, "\n") > 1 {
		c.t.Errorf("%v: more than one line of error: %s", args, stderr)
	}
	return stdout
}

func (c *fixture) statusJSON() map[string]any {
	c.t.Helper()
	var v map[string]any
	must(c.t, json.Unmarshal([]byte(c.wants(0, "", "status", "-o", "json")), &v))
	return v
}

// skewed dates what it gives back by another clock than its own.
type skewed struct {
	*memory.Store
	by time.Duration
}

func (s skewed) Get(ctx context.Context, key string) (persistence.Object, error) {
	o, err := s.Store.Get(ctx, key)
	o.Modified = o.Modified.Add(s.by)
	return o, err
}

// clockless keeps no clock.
type clockless struct{ persistence.Store }

// failing answers every read with an error.
type failing struct {
	*memory.Store
	err error
}

func (s failing) Get(context.Context, string) (persistence.Object, error) {
	return persistence.Object{}, s.err
}

// hanging answers no read before the end of the test.
type hanging struct {
	*memory.Store
	end context.Context //nolint:containedctx // the test's
}

func (s hanging) Get(context.Context, string) (persistence.Object, error) {
	<-s.end.Done()
	return persistence.Object{}, s.end.Err()
}

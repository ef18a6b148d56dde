package transfer

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

const (
	cluster = "cluster-1"
	address = "/there"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a store, what was written to it, and what becomes of writes.
type place struct {
	*memory.Store
	mu   sync.Mutex
	made []write
	// create is asked before each Create, unless nil: an error fails it, lost lands
	// it and loses the answer.
	create func(key string) error
}

type write struct {
	key string
	at  time.Time
}

var errLost = fmt.Errorf("%w: no answer", persistence.ErrUnknown)

func newPlace() *place { return &place{Store: memory.New()} }

func (p *place) Create(ctx context.Context, key string, value []byte) error {
	var err error
	p.mu.Lock()
	if p.create != nil && !strings.HasPrefix(key, "probe/") {
		err = p.create(key) // one at a time, though entries are copied side by side
	}
	p.mu.Unlock()
	if err != nil && err != errLost { //nolint:errorlint // it is that very one
		return err
	}
	if cerr := p.Store.Create(ctx, key, value); cerr != nil {
		return cerr
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = append(p.made, write{key, time.Now()})
	return err
}

// at is when a key was made.
func (p *place) at(t *testing.T, key string) time.Time {
	t.Helper()
	i := slices.IndexFunc(p.made, func(w write) bool { return w.key == key })
	if i < 0 {
		t.Fatalf("%s was not made", key)
	}
	return p.made[i].at
}

// keys of all that lies in a store, but for what is left of proofs.
func keys(t *testing.T, s persistence.Store) []string {
	t.Helper()
	var all []string
	must(t, walk(t.Context(), s, "", func(key string) error { all = append(all, key); return nil }))
	return all
}

// old is a store with a frozen cluster of two, whose ledger has some entries.
type old struct {
	*place
	led *ledger.Ledger
}

func newOld(t *testing.T) *old {
	t.Helper()
	o := &old{place: newPlace()}
	data, err := record.Seal(record.KindCluster, record.Cluster{ID: cluster, Format: record.Format, Founder: "a", Founded: time.Now()})
	must(t, err)
	must(t, o.Create(t.Context(), "cluster.json", data))
	timings, err := lease.NewTimings(10*time.Second, time.Second)
	must(t, err)
	o.led = ledger.New(o.Store, cluster)
	must(t, o.led.Found(t.Context(), &ledger.Entry{
		Node: "a", Time: time.Now(), By: "node a", Why: "found the cluster",
		State: ledger.State{Timings: timings, Armed: true, Members: map[string]ledger.Member{
			"a": {Role: ledger.RoleCandidate, Machine: "m", Key: "k", Admitted: "a1"},
			"b": {Role: ledger.RoleCandidate, Machine: "m", Key: "k", Admitted: "b1"},
		}, VMs: map[string]ledger.VM{"vm1": {Owner: "a", Generation: 3}}},
	}))
	must(t, o.led.Load(t.Context(), ledger.Mark{}))
	o.decide(t, func(e *ledger.Entry) {
		e.Epoch, e.State.Master, e.State.Incarnation, e.State.Claimed = 1, "a", "a1", e.Seq
	})
	o.decide(t, func(e *ledger.Entry) { e.State.Frozen, e.State.FrozenAt = true, e.Seq })
	return o
}

func (o *old) decide(t *testing.T, change func(e *ledger.Entry)) {
	t.Helper()
	e := o.led.Next(ledger.KindDecide, "a", "a1", time.Now())
	change(e)
	must(t, o.led.Append(t.Context(), e))
}

// beat writes a heartbeat that knows of the newest entry.
func (o *old) beat(t *testing.T, node string, seq uint64, change func(hb *record.Heartbeat)) {
	t.Helper()
	tail := o.led.Tail()
	hb := &record.Heartbeat{
		Cluster: cluster, Node: node, Incarnation: node + "1", Seq: seq, LedgerSeq: tail.Seq, LedgerHash: tail.Hash,
		Timings: tail.State.Timings, Proof: record.ProofNothing,
	}
	if change != nil {
		change(hb)
	}
	data, err := record.SealHeartbeat(hb)
	must(t, err)
	must(t, o.Put(t.Context(), record.HeartbeatKey(node), data))
}

// way from the old store to another one.
func (o *old) way(t *testing.T, to persistence.Store) Way {
	t.Helper()
	return Way{
		From: o.place, To: to, Address: address, By: "test",
		Lane: persistence.Lane, Say: func(format string, args ...any) { fmt.Fprintf(io.Discard, format, args...) },
	}
}

// move moves, and waits until nothing of it is under way any more: a call that was given
// up goes on for a while.
func move(t *testing.T, w Way) error {
	t.Helper()
	err := Move(t.Context(), w)
	synctest.Wait()
	return err
}

// bring imports in the same way.
func bring(t *testing.T, w Way, p *Package, word Word) error {
	t.Helper()
	err := Import(t.Context(), w, p, word)
	synctest.Wait()
	return err
}

// tail is the newest entry of a store.
func tail(t *testing.T, s persistence.Store) ledger.Stored {
	t.Helper()
	l := ledger.New(s, cluster)
	must(t, l.Load(t.Context(), ledger.Mark{Seq: 1, Hash: first(t, s)}))
	return l.Tail()
}

func first(t *testing.T, s persistence.Store) string {
	t.Helper()
	e, err := ledger.Read(t.Context(), s, cluster, 1)
	must(t, err)
	return e.Hash
}

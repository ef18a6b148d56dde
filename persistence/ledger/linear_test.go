package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/folder"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

// The size of the runs.
const (
	linearClients = 5
	linearCalls   = 80
	linearRounds  = 8
)

// patience is how long a client waits for the store: mostly enough for its disk,
// and what a request that hangs costs a run.
const patience = 50 * time.Millisecond

// client is a node that writes and reads the ledger through a lane of its own,
// as the daemon does.
type client struct {
	name    string
	number  int
	store   persistence.Store
	dice    *rand.Rand
	history *history
	ledger  *ledger.Ledger
	open    *open // a write of this incarnation that is not settled
}

// open is a write whose outcome is unknown so far.
type open struct {
	call
	begun int64
}

// run makes the client's calls. The error is one that the ledger must never
// give over a store that keeps its contract.
func (c *client) run(ctx context.Context) error {
	c.ledger = ledger.New(c.store, cluster)
	for range linearCalls {
		if err := c.once(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	c.leave()
	// A request that its caller gave up holds the lane until it is answered.
	for {
		if _, err := c.store.Get(ctx, ledger.Key(1)); !errors.Is(err, persistence.ErrBusy) {
			return nil
		}
		<-time.After(time.Millisecond)
	}
}

func (c *client) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	die := c.dice.IntN(8)
	switch {
	case die == 0:
		c.leave()
		c.ledger = ledger.New(c.store, cluster)
		return nil
	case c.ledger.Tail().Entry == nil, die == 1:
		return c.read(func() error { return c.ledger.Load(ctx, ledger.Mark{}) })
	case die == 2:
		return c.read(func() error { _, err := c.ledger.Refresh(ctx); return err })
	case c.open != nil:
		return c.write(*c.open, func() error { return c.ledger.Settle(ctx) })
	}
	tail, kind := c.ledger.Tail(), ledger.KindDecide
	if die == 3 {
		kind = ledger.KindClaim
	}
	e := entry(c.ledger, kind, c.name)
	in := call{seq: e.Seq, entry: mark{e.ID, e.Epoch}, prev: tail.ID, claim: kind == ledger.KindClaim}
	return c.write(open{in, c.history.now()}, func() error { return c.ledger.Append(ctx, e) })
}

// read records the tail that was read; a read that failed tells nothing.
func (c *client) read(f func() error) error {
	begun := c.history.now()
	if err := f(); err != nil {
		return contradicts(err)
	}
	tail := c.ledger.Tail()
	c.history.add(c.number, begun, call{}, answer{what: isTail, seq: tail.Seq, tail: mark{tail.ID, tail.Epoch}})
	return nil
}

// leave ends an incarnation: what it has not settled stays open for ever, and
// may be carried out at any time or never.
func (c *client) leave() {
	if c.open != nil {
		c.history.add(c.number, c.open.begun, c.open.call, answer{what: isUnknown})
	}
	c.open = nil
}

// write records what the client was told of its write at last: all that is sent
// for it, from the first Append to the Settle that is answered, is one
// operation. A plain failure is left out, and so says that the entry is never
// seen.
func (c *client) write(w open, f func() error) error {
	err := f()
	c.open = nil
	switch {
	case errors.Is(err, persistence.ErrUnknown):
		c.open = &w
	case errors.Is(err, ledger.ErrSuperseded):
		c.history.add(c.number, w.begun, w.call, answer{what: isSuperseded})
	case err == nil:
		c.history.add(c.number, w.begun, w.call, answer{what: isMade})
	}
	return contradicts(err)
}

// contradicts keeps the errors that are about the history; any other is the
// fault that was injected.
func contradicts(err error) error {
	if doubts(err) {
		return err
	}
	return nil
}

// outcome is one run of all clients.
type outcome struct {
	*history
	first  ledger.Stored
	storm  *storm
	doubts error // of any client: the ledger itself has noticed something
}

// storming founds a ledger in a store and lets the clients loose on it.
func storming(t *testing.T, raw persistence.Store, seed uint64) outcome {
	t.Helper()
	if err := ledger.New(raw, cluster).Found(t.Context(), &ledger.Entry{Node: "a", State: stateOf("a")}); err != nil {
		t.Fatal(err)
	}
	first, err := ledger.Read(t.Context(), raw, cluster, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{history: &history{}, first: first, storm: newStorm(raw, seed)}
	all := make([]error, linearClients)
	var wg sync.WaitGroup
	for i := range linearClients {
		name := fmt.Sprintf("n%d", i)
		c := client{
			name: name, number: i, store: persistence.Lane(o.storm, name),
			dice: rand.New(rand.NewPCG(seed, uint64(3+i))), history: o.history,
		}
		wg.Go(func() { all[i] = c.run(t.Context()) })
	}
	wg.Wait()
	o.storm.rest()
	o.doubts = errors.Join(all...)
	// What the ledger became is seen by one who comes last.
	last := client{number: linearClients, history: o.history, ledger: ledger.New(raw, cluster)}
	o.doubts = errors.Join(o.doubts, last.read(func() error { return last.ledger.Load(t.Context(), ledger.Mark{}) }))
	return o
}

// Over a store that keeps its contract the ledger is one register, whatever the
// store's answers meet on their way: nobody was told what was not so, nothing
// that was read or made goes away, and of two writes one wins.
func TestLinearizable(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) persistence.Store{
		"memory": func(*testing.T) persistence.Store { return memory.New() },
		"folder": func(t *testing.T) persistence.Store {
			s, err := folder.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			told, met := map[string]int{}, map[string]int{}
			for round := range uint64(linearRounds) {
				o := storming(t, immutable{open(t), t}, seed+round)
				if o.doubts != nil {
					t.Errorf("the ledger doubts a sound store: %v", o.doubts)
				}
				if got := o.judge(o.first); got != porcupine.Ok {
					o.explain(t, o.first)
					t.Fatalf("porcupine says %s of %d operations (%v)", got, len(o.ops), o.storm)
				}
				t.Logf("%d operations: %v; %v", len(o.ops), o.told, o.storm)
				count(told, o.told)
				count(met, o.storm.met)
			}
			// What did not happen has not been tested.
			for _, what := range []string{isMade, isSuperseded, isUnknown, isTail} {
				if told[what] == 0 {
					t.Errorf("no call ended with %q", what)
				}
			}
			for _, fault := range []string{lands, lost, late, fails, slow, hung, unread, noList} {
				if met[fault] == 0 {
					t.Errorf("no request met the fault %q", fault)
				}
			}
		})
	}
}

func count(sum, more map[string]int) {
	for k, n := range more {
		sum[k] += n
	}
}

// The checker is worth something only if it goes red: over stores that break
// the two promises on which the ledger rests.
func TestNotLinearizable(t *testing.T) {
	for name, breaks := range map[string]func(s persistence.Store) persistence.Store{
		"Create overwrites": func(s persistence.Store) persistence.Store { return overwriting{s} },
		"reads go back": func(s persistence.Store) persistence.Store {
			return forgetful{s, &sync.Mutex{}, rand.New(rand.NewPCG(1, 1))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const rounds = 10 // goroutines may happen not to meet in one of them
			for seed := range uint64(rounds) {
				o := storming(t, breaks(memory.New()), seed)
				if got := o.judge(o.first); got == porcupine.Illegal {
					t.Logf("found in round %d, %d operations; the ledger itself: %v", seed, len(o.ops), o.doubts)
					return
				}
			}
			t.Errorf("porcupine accepts %d runs", rounds)
		})
	}
}

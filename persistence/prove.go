package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/oklog/ulid/v2"
)

// How hard Prove tries. Servers were seen that honour exclusive creation one
// after the other and let several of sixteen concurrent creators win.
const (
	proveKeys   = 3
	proveRacers = 16
	proveTries  = 5 // of one Create whose outcome is open
)

// Prove tries, under a folder of its own below probe/, what the cluster's
// safety rests on: that Create makes a key once, one after the other and in a
// race, that reads and listings see what was written, and that Delete removes
// it. What it made it deletes again.
//
// An answer that breaks the contract gives an error that wraps ErrRefused and
// quotes the answer; so does a failure that the store answered with. A store
// that does not answer until ctx ends is not refused: it may be tried again. A
// proof that passes is evidence, not certainty.
//
// Give it the store itself, not a lane of it: a lane would put the racers one
// behind the other. Prove bounds its calls itself, and races only after the
// store has answered everything before.
func Prove(ctx context.Context, s Store) error { return ProveIn(ctx, s, proveKeys) }

// ProveIn does so with races for that many keys.
func ProveIn(ctx context.Context, s Store, races int) error {
	id := ulid.Make().String()
	p := &prover{store: Lane(s, "probe"), id: id, folder: "probe/" + id + "/"}
	err := p.inOrder(ctx)
	if err == nil {
		err = p.race(ctx, s, races)
	}
	if err == nil {
		err = p.listing(ctx)
	}
	if cerr := p.clean(ctx); err == nil {
		err = cerr
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, ErrBusy):
		return fmt.Errorf("prove the store: %w", err)
	case errors.Is(err, ErrRefused):
		return err
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

type prover struct {
	store  Store
	id     string
	folder string
	keys   []string // made or tried, to be listed and deleted
}

// key names a key of the proof and remembers it.
func (p *prover) key(name string) string {
	p.keys = append(p.keys, name)
	return p.folder + name
}

// value is one that nobody else writes.
func (p *prover) value(label string) []byte { return []byte("probe " + p.id + " " + label) }

// inOrder proves exclusivity and read-after-write without competition.
func (p *prover) inOrder(ctx context.Context) error {
	key, first := p.key("order"), p.value("first")
	if out, err := create(ctx, p.store, key, first); err != nil {
		return err
	} else if out == lost {
		return fmt.Errorf("create %s: the store answered %q for a key that nobody had made", key, ErrExists.Error())
	}
	switch out, err := create(ctx, p.store, key, p.value("second")); {
	case err != nil:
		return err
	case out == won:
		return fmt.Errorf("create %s: the store answered twice that it made the key: it does not honour Create", key)
	}
	if err := p.expect(ctx, key, first); err != nil {
		return err
	}
	key = p.key("overwrite")
	for _, label := range []string{"old", "newer, and longer", "new"} {
		value := p.value(label)
		if err := p.store.Put(ctx, key, value); err != nil {
			return err
		}
		if err := p.expect(ctx, key, value); err != nil {
			return err
		}
	}
	return nil
}

// race lets many creators compete for each of several fresh keys.
func (p *prover) race(ctx context.Context, s Store, races int) error {
	lanes := make([]Store, proveRacers)
	for i := range lanes {
		lanes[i] = Lane(s, fmt.Sprintf("probe racer %d", i))
	}
	for k := range races {
		if err := p.raceFor(ctx, lanes, p.key(fmt.Sprintf("race-%d", k))); err != nil {
			return err
		}
	}
	return nil
}

func (p *prover) raceFor(ctx context.Context, lanes []Store, key string) error {
	values := make([][]byte, len(lanes))
	outs := make([]outcome, len(lanes))
	errs := make([]error, len(lanes))
	start := make(chan struct{})
	var racers sync.WaitGroup
	for i, lane := range lanes {
		values[i] = p.value(fmt.Sprintf("racer %d", i))
		racers.Go(func() {
			<-start
			outs[i], errs[i] = create(ctx, lane, key, values[i])
		})
	}
	close(start)
	racers.Wait()

	var winners [][]byte // those that may rightly be read back
	count := map[outcome]int{}
	for i, out := range outs {
		if errs[i] != nil {
			return errs[i]
		}
		count[out]++
	}
	if count[won] > 1 {
		return fmt.Errorf("create %s: the store answered %d of %d concurrent creators that they made the key:"+
			" it does not honour Create in a race", key, count[won], len(lanes))
	}
	for i, out := range outs {
		if out == won || out == open && count[won] == 0 {
			winners = append(winners, values[i])
		}
	}
	got, err := p.store.Get(ctx, key)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(winners, func(v []byte) bool { return bytes.Equal(v, got.Value) }) {
		return fmt.Errorf("create %s: the store answered %d of %d concurrent creators that they made the key,"+
			" and gave back %.80q, which is not the winner's", key, count[won], len(lanes), got.Value)
	}
	return nil
}

// listing proves that the keys are seen in their folder, and that folder in
// the one above.
func (p *prover) listing(ctx context.Context) error {
	want := slices.Sorted(slices.Values(p.keys))
	got, err := p.store.List(ctx, "probe/"+p.id)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("list %s: the store answered %q where %q are", p.folder, got, want)
	}
	if got, err = p.store.List(ctx, "probe"); err != nil {
		return err
	}
	if !slices.Contains(got, p.id+"/") {
		return fmt.Errorf("list probe: the store does not show the folder %s/ just made", p.id)
	}
	return nil
}

// clean deletes everything and proves that it is gone. It goes on after an
// error, so that as little as possible stays behind.
func (p *prover) clean(ctx context.Context) error {
	var first error
	for _, name := range p.keys {
		err := p.store.Delete(ctx, p.folder+name)
		if err == nil {
			_, err = p.store.Get(ctx, p.folder+name)
			switch {
			case err == nil:
				err = fmt.Errorf("delete %s: the store answered that it is done, and gave the key back afterwards", p.folder+name)
			case errors.Is(err, ErrNotFound):
				err = nil
			}
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (p *prover) expect(ctx context.Context, key string, want []byte) error {
	got, err := p.store.Get(ctx, key)
	if err != nil {
		return err
	}
	if !bytes.Equal(got.Value, want) {
		return fmt.Errorf("get %s: the store answered %.80q where %q was written", key, got.Value, want)
	}
	return nil
}

// outcome of one creator.
type outcome int

const (
	lost outcome = iota
	won
	open // refused in the end, after an answer that left it open: perhaps its own
)

// create sends the value until it is made or refused.
func create(ctx context.Context, s Store, key string, value []byte) (outcome, error) {
	refused := lost
	var err error
	for range proveTries {
		err = s.Create(ctx, key, value)
		switch {
		case err == nil:
			return won, nil
		case errors.Is(err, ErrExists):
			return refused, nil
		case !errors.Is(err, ErrUnknown) || ctx.Err() != nil:
			return lost, err
		}
		refused = open
	}
	return lost, err
}

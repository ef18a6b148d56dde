package ledger_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// Faults besides those of the scripted store.
const (
	slow   = "is slow"
	hung   = "is done when its caller has gone"
	noList = "is not listed"
)

// storm is a store, shared by writers who call it at the same time, on which
// requests meet faults by chance. It holds no mutex while the store below works.
type storm struct {
	persistence.Store
	mu      sync.Mutex
	dice    *rand.Rand
	hanging []func()       // requests that land late
	met     map[string]int // faults, by kind
	landing sync.WaitGroup
}

func newStorm(below persistence.Store, seed uint64) *storm {
	return &storm{Store: below, dice: rand.New(rand.NewPCG(seed, 2)), met: map[string]int{}}
}

// draw picks the fault of one request, half meet none. One that hangs since
// earlier may land now, beside it.
func (s *storm) draw(faults ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.hanging); n > 0 && s.dice.IntN(3) == 0 {
		i := s.dice.IntN(n)
		s.landing.Go(s.hanging[i])
		s.hanging = slices.Delete(s.hanging, i, i+1)
	}
	i := s.dice.IntN(2 * len(faults))
	if i >= len(faults) || faults[i] == answered {
		return answered
	}
	s.met[faults[i]]++
	return faults[i]
}

// rest lets everything land that hangs yet. Nobody calls the store any more.
func (s *storm) rest() {
	s.mu.Lock()
	for _, land := range s.hanging {
		s.landing.Go(land)
	}
	s.hanging = nil
	s.mu.Unlock()
	s.landing.Wait()
}

func (s *storm) String() string {
	var met []string
	for _, kind := range slices.Sorted(maps.Keys(s.met)) {
		met = append(met, fmt.Sprintf("%s %d", kind, s.met[kind]))
	}
	return strings.Join(met, ", ")
}

// pause holds a request up for less than its caller waits.
func (s *storm) pause() {
	s.mu.Lock()
	d := time.Duration(s.dice.IntN(int(time.Millisecond)))
	s.mu.Unlock()
	<-time.After(d)
}

func (s *storm) Create(ctx context.Context, key string, value []byte) error {
	create := func() error { return s.Store.Create(context.WithoutCancel(ctx), key, value) }
	switch s.draw(lands, lost, late, fails, slow, hung) {
	case lands:
		_ = create() // the answer is what is lost
		return persistence.ErrUnknown
	case lost:
		return persistence.ErrUnknown
	case late:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hanging = append(s.hanging, func() { _ = create() })
		return persistence.ErrUnknown
	case fails:
		return errStore
	case slow:
		s.pause()
		return create()
	case hung:
		<-ctx.Done()
		return create()
	default:
		return create()
	}
}

func (s *storm) Get(ctx context.Context, key string) (persistence.Object, error) {
	switch s.draw(unread, slow, answered) {
	case unread:
		return persistence.Object{}, errStore
	case slow:
		s.pause()
	}
	return s.Store.Get(ctx, key)
}

func (s *storm) List(ctx context.Context, folder string) ([]string, error) {
	if s.draw(noList, slow, answered) == noList {
		return nil, errStore
	}
	return s.Store.List(ctx, folder)
}

// overwriting is a store that does not know Create: a plain Put in its place.
type overwriting struct{ persistence.Store }

func (s overwriting) Create(ctx context.Context, key string, value []byte) error {
	return s.Put(ctx, key, value)
}

// forgetful is a store whose listings go back now and then, as those of a cache
// do: they lack the newest name.
type forgetful struct {
	persistence.Store
	mu   *sync.Mutex
	dice *rand.Rand
}

func (s forgetful) List(ctx context.Context, folder string) ([]string, error) {
	names, err := s.Store.List(ctx, folder)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && len(names) > 1 && s.dice.IntN(4) == 0 {
		names = names[:len(names)-1]
	}
	return names, err
}

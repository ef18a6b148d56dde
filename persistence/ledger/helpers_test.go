package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

const cluster = "c"

// immutable fails the test when a ledger key is deleted or overwritten.
type immutable struct {
	persistence.Store
	t testing.TB
}

func (s immutable) Put(ctx context.Context, key string, value []byte) error {
	s.check("overwritten", key)
	return s.Store.Put(ctx, key, value)
}

func (s immutable) Delete(ctx context.Context, key string) error {
	s.check("deleted", key)
	return s.Store.Delete(ctx, key)
}

func (s immutable) check(what, key string) {
	if strings.HasPrefix(key, ledger.Folder+"/") {
		s.t.Errorf("%s is %s", key, what)
	}
}

// What becomes of a request to a faulty store.
const (
	lands    = "lands without an answer"
	lost     = "is lost without an answer"
	late     = "lands late" // when land is called
	fails    = "fails for certain"
	unread   = "is not read back"
	answered = ""
)

var errStore = errors.New("the store says no")

// faulty does to the next Creates and Gets what it is told to.
type faulty struct {
	persistence.Store
	mu      sync.Mutex
	creates []string
	gets    []string
	sent    [][]byte
	hanging func()
}

func next(from *[]string) string {
	if len(*from) == 0 {
		return answered
	}
	first := (*from)[0]
	*from = (*from)[1:]
	return first
}

func (s *faulty) Create(ctx context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, bytes.Clone(value))
	switch next(&s.creates) {
	case lands:
		_ = s.Store.Create(ctx, key, value) // the answer is what is lost
		return persistence.ErrUnknown
	case lost:
		return persistence.ErrUnknown
	case late:
		s.hanging = func() { _ = s.Store.Create(context.WithoutCancel(ctx), key, value) }
		return persistence.ErrUnknown
	case fails:
		return errStore
	default:
		return s.Store.Create(ctx, key, value)
	}
}

func (s *faulty) Get(ctx context.Context, key string) (persistence.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next(&s.gets) == unread {
		return persistence.Object{}, errStore
	}
	return s.Store.Get(ctx, key)
}

// founded is a store with the first entry.
func founded(t testing.TB) *memory.Store {
	t.Helper()
	raw := memory.New()
	if err := ledger.New(immutable{raw, t}, cluster).Found(t.Context(), &ledger.Entry{Node: "a", State: stateOf("a")}); err != nil {
		t.Fatal(err)
	}
	return raw
}

func stateOf(nodes ...string) ledger.State {
	s := ledger.State{Members: map[string]ledger.Member{}}
	for _, n := range nodes {
		s.Members[n] = ledger.Member{Role: ledger.RoleCandidate}
	}
	return s
}

// follow is a ledger that has been loaded.
func follow(t testing.TB, s persistence.Store) *ledger.Ledger {
	t.Helper()
	l := ledger.New(immutable{s, t}, cluster)
	if err := l.Load(t.Context(), ledger.Mark{}); err != nil {
		t.Fatal(err)
	}
	return l
}

// entry is the next decision, or claim.
func entry(l *ledger.Ledger, kind, node string) *ledger.Entry {
	e := l.Next(kind, node, "incarnation-"+node, time.Unix(1e9, 0))
	if kind == ledger.KindClaim {
		e.Epoch++
	}
	return e
}

// extend appends so many decisions.
func extend(t testing.TB, l *ledger.Ledger, n int) {
	t.Helper()
	for range n {
		if err := l.Append(t.Context(), entry(l, ledger.KindDecide, "a")); err != nil {
			t.Fatal(err)
		}
	}
}

// plant writes an entry past the ledger's own code, as another program or a
// broken store would leave it.
func plant(t testing.TB, s persistence.Store, key string, e *ledger.Entry) {
	t.Helper()
	data, err := record.Seal(record.KindEntry, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

// leap repairs the ledger, which leaves names out.
func leap(t testing.TB, raw persistence.Store) *ledger.Entry {
	t.Helper()
	survey, err := ledger.Walk(t.Context(), raw, cluster)
	if err != nil {
		t.Fatal(err)
	}
	e := survey.Repair(survey.End, ledger.Evidence{})
	e.Node = "operator"
	plant(t, raw, ledger.Key(e.Seq), e)
	return e
}

// doubts says whether an error is about the ledger's history.
func doubts(err error) bool {
	_, ok := errors.AsType[*ledger.HistoryError](err)
	return ok
}

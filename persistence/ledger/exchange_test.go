package ledger_test

import (
	"context"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

// exchanged is a store that can be put in another's place, as a mount can.
type exchanged struct{ persistence.Store }

// What was made counts as read only where the entry before it lies too.
func TestMadeUntilReadBack(t *testing.T) {
	for name, c := range map[string]struct {
		instead func(t *testing.T) *memory.Store // nil: the store stays
		doubt   bool
	}{
		"the same store":    {nil, false},
		"an empty one":      {func(*testing.T) *memory.Store { return memory.New() }, true},
		"an older copy":     {func(t *testing.T) *memory.Store { return founded(t) }, true},
		"another cluster's": {func(t *testing.T) *memory.Store { s := founded(t); extend(t, follow(t, s), 3); return s }, true},
	} {
		t.Run(name, func(t *testing.T) {
			raw := founded(t)
			s := &exchanged{raw}
			l := follow(t, s)
			if l.Made() {
				t.Error("made before anything was")
			}
			extend(t, l, 3)
			if !l.Made() {
				t.Error("not made, or read back by nobody")
			}
			if _, err := l.Refresh(t.Context()); err != nil || l.Made() {
				t.Fatalf("read back: %v, made %t", err, l.Made())
			}
			if c.instead != nil {
				s.Store = c.instead(t)
			}
			if err := l.Append(t.Context(), entry(l, ledger.KindDecide, "a")); err != nil {
				t.Fatal(err)
			}
			_, err := l.Refresh(t.Context())
			if doubts(err) != c.doubt || l.Made() != c.doubt {
				t.Errorf("%v, made %t", err, l.Made())
			}
		})
	}
}

// What others made is read, and never made here.
func TestMadeByOthers(t *testing.T) {
	raw := founded(t)
	a, b := follow(t, raw), follow(t, raw)
	extend(t, a, 1)
	if _, err := b.Refresh(t.Context()); err != nil || b.Made() || b.Tail().Seq != 2 {
		t.Errorf("%v, made %t, tail %d", err, b.Made(), b.Tail().Seq)
	}
}

// hooked calls a function after each read.
type hooked struct {
	exchanged
	after func(key string)
}

func (s *hooked) Get(ctx context.Context, key string) (persistence.Object, error) {
	o, err := s.exchanged.Get(ctx, key)
	s.after(key)
	return o, err
}

// A refresh that looks at the tail in one store and finds the entry after it in another
// has read nothing back: it was made meanwhile, in the store that nobody else sees.
func TestExchangedWithinARefresh(t *testing.T) {
	raw := founded(t)
	s := &hooked{exchanged{raw}, func(string) {}}
	l := follow(t, s)
	l.Spare(9)
	extend(t, l, 2)
	for range 2 {
		if _, err := l.Refresh(t.Context()); err != nil || l.Made() {
			t.Fatalf("%v, made %t", err, l.Made())
		}
	}
	tail := l.Tail().Seq
	s.after = func(key string) {
		if key != ledger.Key(tail) {
			return
		}
		s.after = func(string) {}
		s.Store = memory.New()
		if err := l.Append(t.Context(), entry(l, ledger.KindDecide, "a")); err != nil {
			t.Error(err)
		}
	}
	_, err := l.Refresh(t.Context())
	if !doubts(err) || !l.Made() || l.Tail().Seq != tail+1 {
		t.Errorf("%v, made %t, tail %d", err, l.Made(), l.Tail().Seq)
	}
}

package ledger_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

// counted counts the listings.
type counted struct {
	persistence.Store
	lists int
}

func (c *counted) List(ctx context.Context, folder string) ([]string, error) {
	c.lists++
	return c.Store.List(ctx, folder)
}

const spared = 9

func sparing(t *testing.T, raw *memory.Store) (*ledger.Ledger, *counted) {
	t.Helper()
	c := &counted{Store: raw}
	l := follow(t, c)
	l.Spare(spared)
	c.lists = 0
	return l, c
}

// Where listings are dear the next entry is asked for by its name, into whatever folder
// it falls, and a listing looks after what has no such name.
func TestSpare(t *testing.T) {
	raw := founded(t)
	l, c := sparing(t, raw)
	refreshes := 0
	long(t, raw, 1010, func(seq uint64) {
		refreshes++
		if news, err := l.Refresh(t.Context()); err != nil || len(news) != 1 || l.Tail().Seq != seq || l.Made() {
			t.Fatalf("entry %d: %d new entries, tail %d: %v", seq, len(news), l.Tail().Seq, err)
		}
	})
	if looks := refreshes / (spared + 1); c.lists < looks || c.lists > 4*looks {
		t.Errorf("%d listings in %d refreshes", c.lists, refreshes)
	}
	extend(t, follow(t, raw), 3)
	if news, err := l.Refresh(t.Context()); err != nil || len(news) != 3 {
		t.Errorf("%d of 3 new entries: %v", len(news), err)
	}
}

// A repair leaves names out: it is found by the next listing, before anything is
// claimed, and at once when a peer speaks of it.
func TestSpareFindsARepair(t *testing.T) {
	for name, find := range map[string]func(t *testing.T, l *ledger.Ledger, e *ledger.Entry){
		"in time": func(t *testing.T, l *ledger.Ledger, _ *ledger.Entry) {
			for range spared + 1 {
				if _, err := l.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		},
		"by a listing": func(t *testing.T, l *ledger.Ledger, _ *ledger.Entry) {
			if _, err := l.RefreshByList(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"by a peer": func(t *testing.T, l *ledger.Ledger, e *ledger.Entry) {
			if err := l.Differs("b", ledger.Mark{Seq: e.Seq, Hash: "x"}); !errors.Is(err, ledger.ErrBehind) {
				t.Fatal(err)
			}
			if _, err := l.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			raw := founded(t)
			l, _ := sparing(t, raw)
			extend(t, l, 3)
			e := leap(t, raw)
			find(t, l, e)
			if l.Tail().Seq != e.Seq {
				t.Errorf("the ledger was repaired at %d, and the tail is %d", e.Seq, l.Tail().Seq)
			}
		})
	}
}

// What is wrong with the tail, or with the entry after it, shows itself by name too.
func TestSpareDoubts(t *testing.T) {
	for _, c := range []damage{
		{"the tail is gone", remove(4), nil},
		{"the tail is another entry", func(t *testing.T, raw *memory.Store) {
			remove(4)(t, raw)
			extend(t, follow(t, raw), 1)
		}, nil},
		{"a new entry that does not continue the tail", after(func(e *ledger.Entry) { e.Prev = "other" }), nil},
		{"a new entry that is torn", bytesAt(5, half), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := founded(t)
			l, counts := sparing(t, raw)
			extend(t, l, 3)
			c.do(t, raw)
			if news, err := l.Refresh(t.Context()); !doubts(err) || len(news) > 0 {
				t.Errorf("%v, %d new entries", err, len(news))
			}
			if counts.lists > 0 {
				t.Error("it was listed")
			}
		})
	}
}

package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// damage is what a store does to a ledger that ends at entry 4.
type damage struct {
	name string
	do   func(t *testing.T, raw *memory.Store)
	want error // nil: a doubt about the history that names no record
}

// after plants an entry that was changed under the next number.
func after(change func(e *ledger.Entry)) func(t *testing.T, raw *memory.Store) {
	return func(t *testing.T, raw *memory.Store) {
		e := entry(follow(t, raw), ledger.KindDecide, "b")
		key := ledger.Key(e.Seq)
		change(e)
		plant(t, raw, key, e)
	}
}

// bytesAt puts bytes under a number.
func bytesAt(seq uint64, change func(data string) string) func(t *testing.T, raw *memory.Store) {
	return func(t *testing.T, raw *memory.Store) {
		e := entry(follow(t, raw), ledger.KindDecide, "b")
		plant(t, raw, ledger.Key(5), e)
		obj, err := raw.Get(t.Context(), ledger.Key(seq))
		if err == nil {
			err = raw.Put(t.Context(), ledger.Key(seq), []byte(change(string(obj.Value))))
		}
		if err == nil && seq != 5 {
			err = raw.Delete(t.Context(), ledger.Key(5))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func half(data string) string  { return data[:len(data)/2] }
func newer(data string) string { return strings.Replace(data, `"format":1`, `"format":2`, 1) }

func remove(seqs ...uint64) func(t *testing.T, raw *memory.Store) {
	return func(t *testing.T, raw *memory.Store) {
		for _, seq := range seqs {
			if err := raw.Delete(t.Context(), ledger.Key(seq)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRefreshDoubts(t *testing.T) {
	for _, c := range []damage{
		{"the tail is gone", remove(4), nil},
		{"all is gone", remove(1, 2, 3, 4), nil},
		{"the tail is another entry", func(t *testing.T, raw *memory.Store) {
			remove(4)(t, raw)
			extend(t, follow(t, raw), 1)
		}, nil},
		{"the tail is another entry, and the ledger is longer than before", func(t *testing.T, raw *memory.Store) {
			remove(4)(t, raw)
			extend(t, follow(t, raw), 5)
		}, nil},
		{"the tail is torn", bytesAt(4, half), nil},
		{"a new entry that does not continue the tail", after(func(e *ledger.Entry) { e.Prev = "other" }), nil},
		{"a new entry after a gap", func(t *testing.T, raw *memory.Store) {
			extend(t, follow(t, raw), 2)
			remove(5)(t, raw)
		}, nil},
		{"a new entry that is torn", bytesAt(5, half), record.ErrTorn},
		{"a new entry of a newer format", bytesAt(5, newer), record.ErrNewer},
		{"a new entry of another cluster", after(func(e *ledger.Entry) { e.Cluster = "d" }), record.ErrForeign},
		{"a new entry of another number", after(func(e *ledger.Entry) { e.Seq = 6 }), record.ErrForeign},
		{"a repair of another number", after(func(e *ledger.Entry) { e.Kind, e.Seq = ledger.KindRepair, 6 }), record.ErrForeign},
		{"a new entry without members", after(func(e *ledger.Entry) { e.State.Members = nil }), record.ErrForeign},
		{"a new entry without an id", after(func(e *ledger.Entry) { e.ID = "" }), record.ErrForeign},
		{"a leap that is no repair", after(func(e *ledger.Entry) { e.PrevSeq = 2 }), record.ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := founded(t)
			l := follow(t, raw)
			extend(t, l, 3)
			before := l.Tail()
			c.do(t, raw)
			news, err := l.Refresh(t.Context())
			if !doubts(err) || len(news) > 0 || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("%v, %d new entries; want a doubt, %v", err, len(news), c.want)
			}
			if l.Tail().Hash != before.Hash {
				t.Errorf("the tail is %d now", l.Tail().Seq)
			}
		})
	}
}

func TestRefreshFollows(t *testing.T) {
	raw := founded(t)
	l, writer := follow(t, raw), follow(t, raw)
	if news, err := l.Refresh(t.Context()); err != nil || len(news) != 0 {
		t.Errorf("nothing new: %d, %v", len(news), err)
	}
	extend(t, writer, 3)
	news, err := l.Refresh(t.Context())
	if err != nil || len(news) != 3 || news[0].Seq != 2 || news[2].Seq != 4 || l.Tail().Hash != writer.Tail().Hash {
		t.Errorf("%d new entries, tail %d: %v", len(news), l.Tail().Seq, err)
	}
}

// A store that does not answer is no doubt about the history.
func TestNoAnswerIsNoDoubt(t *testing.T) {
	raw := founded(t)
	store := &faulty{Store: raw}
	l := follow(t, store)
	store.gets = []string{unread}
	if _, err := l.Refresh(t.Context()); !errors.Is(err, errStore) || doubts(err) {
		t.Errorf("refresh: %v", err)
	}
	store.gets = []string{unread}
	if err := l.Load(t.Context(), ledger.Mark{}); !errors.Is(err, errStore) || doubts(err) {
		t.Errorf("load: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Refresh(ctx); err == nil || doubts(err) {
		t.Errorf("refresh after the end: %v", err)
	}
}

// marks are what was remembered at each number of a ledger of 5 entries.
func marks(t *testing.T, raw *memory.Store) map[uint64]ledger.Mark {
	l := follow(t, raw)
	all := map[uint64]ledger.Mark{1: l.Tail().Mark()}
	for seq := uint64(2); seq <= 5; seq++ {
		extend(t, l, 1)
		all[seq] = l.Tail().Mark()
	}
	return all
}

func TestLoadAgainstWhatIsRemembered(t *testing.T) {
	rewrite := func(from uint64) func(t *testing.T, raw *memory.Store) {
		return func(t *testing.T, raw *memory.Store) {
			for seq := from; seq <= 5; seq++ {
				remove(seq)(t, raw)
			}
			extend(t, follow(t, raw), int(6-from))
		}
	}
	leap := func(from, to uint64) func(t *testing.T, raw *memory.Store) {
		return func(t *testing.T, raw *memory.Store) {
			prev, err := ledger.Read(t.Context(), raw, cluster, from)
			if err != nil {
				t.Fatal(err)
			}
			e := *prev.Entry
			e.Kind, e.Seq, e.PrevSeq, e.Prev, e.ID = ledger.KindRepair, to, prev.Seq, prev.Hash, "repair"
			plant(t, raw, ledger.Key(to), &e)
		}
	}
	nothing := func(*testing.T, *memory.Store) {}
	for _, c := range []struct {
		name     string
		do       func(t *testing.T, raw *memory.Store)
		remember uint64
		accepted bool
		tail     uint64
	}{
		{"what is remembered is the tail", nothing, 5, true, 5},
		{"the ledger has gone on", nothing, 2, true, 5},
		{"nothing is remembered", nothing, 0, true, 5},
		{"the ledger is shorter", remove(5), 5, false, 0},
		{"the ledger is empty", remove(1, 2, 3, 4, 5), 5, false, 0},
		{"another entry stands under the number", rewrite(5), 5, false, 0},
		{"the history is another one from before", rewrite(3), 4, false, 0},
		{"the history is another one after what is remembered", rewrite(4), 3, true, 5},
		{"an entry in between is missing", remove(4), 3, false, 0},
		{"the entry remembered is missing", remove(3), 3, false, 0},
		{"the tail is torn", bytesAt(5, half), 3, false, 0},
		{"an entry in between is torn", bytesAtKeeping(4), 3, false, 0},
		{"the tail does not continue the chain", after(func(e *ledger.Entry) { e.Prev = "other" }), 3, false, 0},
		{"a repair continues another history than the one remembered", func(t *testing.T, raw *memory.Store) {
			rewrite(2)(t, raw)
			leap(5, 5000)(t, raw)
		}, 3, false, 0},
		{"a repair has leapt over what is remembered", leap(3, 5000), 5, true, 5000},
		{"a repair continues what is remembered", leap(5, 5000), 5, true, 5000},
		{"a repair continues what follows what is remembered", leap(5, 5000), 2, true, 5000},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := founded(t)
			known := marks(t, raw)
			c.do(t, raw)
			l := ledger.New(immutable{raw, t}, cluster)
			err := l.Load(t.Context(), known[c.remember])
			switch {
			case c.accepted && (err != nil || l.Tail().Seq != c.tail):
				t.Errorf("%v", err)
			case !c.accepted && !doubts(err):
				t.Errorf("%v, want a doubt", err)
			case !c.accepted && l.Tail().Entry != nil:
				t.Errorf("it follows entry %d", l.Tail().Seq)
			}
		})
	}
}

// bytesAtKeeping tears an entry and leaves those after it.
func bytesAtKeeping(seq uint64) func(t *testing.T, raw *memory.Store) {
	return func(t *testing.T, raw *memory.Store) {
		if err := raw.Put(t.Context(), ledger.Key(seq), []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadOfNothing(t *testing.T) {
	err := ledger.New(memory.New(), cluster).Load(t.Context(), ledger.Mark{})
	if !errors.Is(err, persistence.ErrNotFound) || doubts(err) {
		t.Errorf("%v, want ErrNotFound", err)
	}
}

// What this very process has read is remembered, too, be it written down or not:
// a master may have decided on it.
func TestLoadHoldsWhatThisProcessHasRead(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, raw *memory.Store)
	}{
		{"the newest entry is lost", remove(5)},
		{"another stands under its number", func(t *testing.T, raw *memory.Store) {
			remove(5)(t, raw)
			extend(t, follow(t, raw), 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := founded(t)
			l := follow(t, raw)
			extend(t, l, 3)
			written := l.Tail().Mark()
			extend(t, l, 1)
			c.do(t, raw)
			if _, err := l.Refresh(t.Context()); !doubts(err) {
				t.Fatalf("refresh: %v", err)
			}
			if err := l.Load(t.Context(), written); !doubts(err) {
				t.Errorf("load: %v, tail %d; want a doubt: entry 5 was read", err, l.Tail().Seq)
			}
		})
	}
}

func TestDiffers(t *testing.T) {
	raw := founded(t)
	l := follow(t, raw)
	extend(t, l, 4)
	tail := l.Tail().Mark()
	for _, c := range []struct {
		name   string
		mark   ledger.Mark
		behind bool
		forked bool
	}{
		{"the same tail", tail, false, false},
		{"another entry under the tail's number", ledger.Mark{Seq: 5, Hash: "x"}, false, true},
		{"another entry under an older number", ledger.Mark{Seq: 3, Hash: "x"}, false, true},
		{"a longer ledger", ledger.Mark{Seq: 6, Hash: "x"}, true, false},
		{"nothing read yet", ledger.Mark{}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := l.Differs("b", c.mark)
			if doubts(err) != c.forked || errors.Is(err, ledger.ErrBehind) != c.behind || (err == nil) == (c.forked || c.behind) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestHistoryErrorNamesTheEntry(t *testing.T) {
	raw := founded(t)
	l := follow(t, raw)
	extend(t, l, 1)
	remove(2)(t, raw)
	_, err := l.Refresh(t.Context())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%020d", 2)) {
		t.Errorf("%v", err)
	}
}

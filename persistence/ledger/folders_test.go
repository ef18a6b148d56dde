package ledger_test

import (
	"strconv"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

func TestKey(t *testing.T) {
	for seq, want := range map[uint64]string{
		1:    "ledger/0/00000000000000000001.json",
		999:  "ledger/0/00000000000000000999.json",
		1000: "ledger/1/00000000000000001000.json",
		2000: "ledger/2/00000000000000002000.json",
	} {
		if got := ledger.Key(seq); got != want {
			t.Errorf("entry %d lies at %s, want %s", seq, got, want)
		}
	}
}

// long appends up to a number and calls each after every entry.
func long(t *testing.T, raw *memory.Store, upto uint64, each func(seq uint64)) {
	t.Helper()
	writer := follow(t, raw)
	for writer.Tail().Seq < upto {
		extend(t, writer, 1)
		each(writer.Tail().Seq)
	}
}

func TestFoldersOfAThousand(t *testing.T) {
	raw := founded(t)
	reader := follow(t, raw)
	long(t, raw, 2003, func(seq uint64) {
		if news, err := reader.Refresh(t.Context()); err != nil || len(news) != 1 || reader.Tail().Seq != seq {
			t.Fatalf("entry %d: %d new entries, tail %d: %v", seq, len(news), reader.Tail().Seq, err)
		}
	})
	for folder, want := range map[int]int{0: 999, 1: 1000, 2: 4} {
		names, err := raw.List(t.Context(), ledger.Folder+"/"+strconv.Itoa(folder))
		if err != nil || len(names) != want {
			t.Errorf("%d entries in folder %d, want %d: %v", len(names), folder, want, err)
		}
	}
	if tail := follow(t, raw).Tail(); tail.Seq != 2003 {
		t.Errorf("loaded up to %d", tail.Seq)
	}
}

// Rule 1: a renewal counts only if the tail was read in its beat: one refresh
// reads to the end, whatever folders lie in between.
func TestOneRefreshReadsToTheEnd(t *testing.T) {
	raw := founded(t)
	reader := follow(t, raw)
	long(t, raw, 2003, func(seq uint64) {
		if seq != 998 && seq != 1003 && seq != 2003 {
			return
		}
		if _, err := reader.Refresh(t.Context()); err != nil || reader.Tail().Seq != seq {
			t.Errorf("the ledger ends at %d, one refresh read up to %d: %v", seq, reader.Tail().Seq, err)
		}
	})
}

func TestLastKnowsOnlyEntries(t *testing.T) {
	raw := founded(t)
	extend(t, follow(t, raw), 1)
	for _, key := range []string{
		"ledger/7/notes.txt", "ledger/9/1.json", "ledger/x/00000000000000000009.json",
		"ledger/8/00000000000000000000.json", "ledger/10/0000000000000000000a.json",
	} {
		if err := raw.Put(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if last, err := ledger.Last(t.Context(), raw); err != nil || last != 2 {
		t.Errorf("the last entry is %d: %v", last, err)
	}
	// Folders are ordered as numbers.
	for _, seq := range []uint64{9000, 10000} {
		if err := raw.Put(t.Context(), ledger.Key(seq), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if last, err := ledger.Last(t.Context(), raw); err != nil || last != 10000 {
		t.Errorf("the last entry is %d: %v", last, err)
	}
}

// A repair leaps over whole folders. Whoever was not told of it, because its
// store was cut off or its process stopped, has to come upon it: it would else
// go on under the old numbers, which nothing stands in the way of.
func TestRefreshFindsARepairInAnotherFolder(t *testing.T) {
	raw := founded(t)
	stranded := follow(t, raw)
	extend(t, stranded, 3)
	e := leap(t, raw)
	if _, err := stranded.Refresh(t.Context()); err != nil || stranded.Tail().Seq != e.Seq {
		t.Errorf("the ledger was repaired at %d, and the tail is %d: %v", e.Seq, stranded.Tail().Seq, err)
	}
	if err := stranded.Append(t.Context(), entry(stranded, ledger.KindClaim, "a")); err == nil && stranded.Tail().Seq < e.Seq {
		t.Errorf("it claims epoch %d in entry %d, below the repair in %d", stranded.Tail().Epoch, stranded.Tail().Seq, e.Seq)
	}
}

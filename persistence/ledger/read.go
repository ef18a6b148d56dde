package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// HistoryError says that the store's ledger is not the one this node knows:
// lost, forked or unreadable. Until an operator mends it, nothing is decided or
// started.
type HistoryError struct {
	Key string
	Why string
	Err error // nil, or why the entry cannot be read
}

func (e *HistoryError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("ledger history: %s: %s: %v", e.Key, e.Why, e.Err)
	}
	return fmt.Sprintf("ledger history: %s: %s", e.Key, e.Why)
}

func (e *HistoryError) Unwrap() error { return e.Err }

// Read reads one entry. Cluster "" accepts any.
func Read(ctx context.Context, s persistence.Store, cluster string, seq uint64) (Stored, error) {
	obj, err := s.Get(ctx, Key(seq))
	if err != nil {
		return Stored{}, err
	}
	return open(cluster, seq, obj.Value)
}

func open(cluster string, seq uint64, data []byte) (Stored, error) {
	var e Entry
	err := record.Open(record.KindEntry, data, &e)
	if err == nil {
		err = e.check(cluster, seq)
	}
	if err != nil {
		return Stored{}, &HistoryError{Key: Key(seq), Why: "the entry cannot be read", Err: err}
	}
	return Stored{&e, record.Hash(data)}, nil
}

// numbers lists the entries of one folder, in order. A name that belongs into
// another folder is nobody's: it would be looked for there.
func numbers(ctx context.Context, s persistence.Store, number uint64) ([]uint64, error) {
	names, err := s.List(ctx, folder(number))
	if err != nil {
		return nil, err
	}
	var seqs []uint64
	for _, n := range names {
		if seq, ok := seqOf(n); ok && seq/perFolder == number {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// folders lists the folders of entries, by their number, in order.
func folders(ctx context.Context, s persistence.Store) ([]uint64, error) {
	names, err := s.List(ctx, Folder)
	if err != nil {
		return nil, err
	}
	var all []uint64
	for _, n := range names {
		name := strings.TrimSuffix(n, "/")
		if f, err := strconv.ParseUint(name, 10, 64); err == nil && strconv.FormatUint(f, 10) == name {
			all = append(all, f)
		}
	}
	slices.Sort(all)
	return all, nil
}

func folder(number uint64) string { return fmt.Sprintf("%s/%d", Folder, number) }

// Last finds the highest number by listing; 0 when there is no entry.
func Last(ctx context.Context, s persistence.Store) (uint64, error) {
	all, err := folders(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, f := range slices.Backward(all) {
		seqs, err := numbers(ctx, s, f)
		if err != nil {
			return 0, err
		}
		if len(seqs) > 0 {
			return seqs[len(seqs)-1], nil
		}
	}
	return 0, nil
}

// verify walks back from the tail to what is remembered: the entry remembered
// has to be there with its hash, or a repair has to have leapt over it.
func verify(ctx context.Context, s persistence.Store, cluster string, tail Stored, known Mark) error {
	if known.Seq == 0 {
		return nil
	}
	if tail.Seq < known.Seq {
		return &HistoryError{Key: Key(tail.Seq), Why: fmt.Sprintf(
			"the ledger ends at %d, but this node remembers %d: entries are lost", tail.Seq, known.Seq)}
	}
	at := tail
	for at.Seq > known.Seq {
		if at.Kind == KindRepair && at.PrevSeq < known.Seq {
			return nil
		}
		prev, err := Read(ctx, s, cluster, at.PrevSeq)
		if errors.Is(err, persistence.ErrNotFound) {
			return &HistoryError{Key: Key(at.PrevSeq), Why: "the entry is missing"}
		}
		if err != nil {
			return err
		}
		if err := follows(prev, at.Entry); err != nil {
			return err
		}
		at = prev
	}
	if at.Hash != known.Hash {
		return &HistoryError{Key: Key(known.Seq), Why: "another entry than the one remembered: the history is forked"}
	}
	return nil
}

func follows(prev Stored, next *Entry) error {
	if next.PrevSeq != prev.Seq || next.Prev != prev.Hash {
		return &HistoryError{Key: Key(next.Seq), Why: fmt.Sprintf("it does not continue entry %d: the chain is broken", prev.Seq)}
	}
	if next.Epoch < prev.Epoch {
		return &HistoryError{Key: Key(next.Seq), Why: fmt.Sprintf("its epoch %d is lower than %d before it", next.Epoch, prev.Epoch)}
	}
	return nil
}

package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// ErrSuperseded: another entry was made under the number; the ledger has been
// refreshed and whoever wrote has to look again.
var ErrSuperseded = errors.New("superseded by another entry")

// ErrPending: an earlier entry's outcome is still open; nothing else may be
// written before it is settled.
var ErrPending = errors.New("an earlier entry is not settled yet")

// Ledger follows and extends one cluster's ledger. It is safe for concurrent
// use; writes are made one at a time.
type Ledger struct {
	store   persistence.Store
	cluster string

	mu      sync.Mutex
	tail    Stored
	hashes  map[uint64]string // of entries read, by number
	pending *pending
	read    Mark // the newest entry that was read; what was made here since lies after it
	spare   int  // how many refreshes in a row may do without a listing
	spared  int  // how many have
}

// pending is an entry whose Create ended without an answer.
type pending struct {
	stored Stored
	data   []byte
	open   bool // a request for it may still be carried out
}

// New follows the ledger of a cluster. Call Load first.
func New(store persistence.Store, cluster string) *Ledger {
	return &Ledger{store: store, cluster: cluster, hashes: map[uint64]string{}}
}

// Follow names the cluster, before the first Load.
func (l *Ledger) Follow(cluster string) { l.cluster = cluster }

// Load finds the tail by listing and holds it against what this node
// remembers. ErrNotFound when the ledger has no entry yet and none is
// remembered.
func (l *Ledger) Load(ctx context.Context, known Mark) error {
	// What this process has read or made counts like what it remembers.
	if tail := l.Tail(); tail.Entry != nil && tail.Seq >= known.Seq {
		known = tail.Mark()
	}
	last, err := Last(ctx, l.store)
	if err != nil {
		return err
	}
	if last == 0 {
		if known.Seq > 0 {
			return &HistoryError{Key: Folder, Why: fmt.Sprintf("the ledger is empty, but this node remembers entry %d", known.Seq)}
		}
		return fmt.Errorf("ledger: %w", persistence.ErrNotFound)
	}
	tail, err := Read(ctx, l.store, l.cluster, last)
	if err != nil {
		return err
	}
	if err := verify(ctx, l.store, l.cluster, tail, known); err != nil {
		return err
	}
	l.mu.Lock()
	read := l.read
	l.mu.Unlock()
	if read.Seq < known.Seq {
		// What was only made here is not known to be anybody else's.
		if err := verify(ctx, l.store, l.cluster, tail, read); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(tail)
	l.read = tail.Mark()
	return nil
}

// Tail is the newest entry read.
func (l *Ledger) Tail() Stored {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail
}

// Made says whether the tail was made by this process and not read back since,
// together with all between it and what was read before. Until then the others may be
// looking at another store: one that was exchanged between a read and the write after
// it.
func (l *Ledger) Made() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.Entry != nil && l.read.Seq < l.tail.Seq
}

// Read is the newest entry that was read from the store, not only made.
func (l *Ledger) Read() Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read
}

// Settled says whether no write of this process is open.
func (l *Ledger) Settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending == nil
}

// Spare lets that many refreshes in a row do without a listing, for a store where
// these are dear: they ask for the next entry by its name. What they miss is a repair,
// which leaves names out, and an entry whose forerunner is lost; the next listing finds
// it, which comes at once when a peer knows of more.
func (l *Ledger) Spare(refreshes int) { l.spare = refreshes }

// Refresh reads the tail anew: it must still be what it was, and entries after
// it must continue it. It returns the entries that are new, oldest first.
func (l *Ledger) Refresh(ctx context.Context) ([]Stored, error) {
	l.mu.Lock()
	list := l.spared >= l.spare
	if l.spared++; list {
		l.spared = 0
	}
	l.mu.Unlock()
	news, err := l.refresh(ctx, list)
	if list && err != nil {
		l.mu.Lock()
		l.spared = l.spare // one that was not answered is none
		l.mu.Unlock()
	}
	return news, err
}

// RefreshByList is Refresh by a listing in any case: nothing that is there is missed.
func (l *Ledger) RefreshByList(ctx context.Context) ([]Stored, error) { return l.refresh(ctx, true) }

func (l *Ledger) refresh(ctx context.Context, list bool) ([]Stored, error) {
	l.mu.Lock()
	tail, read := l.tail, l.read
	l.mu.Unlock()
	before := tail
	next := l.byName
	if list {
		seqs, err := l.list(ctx, tail)
		if err != nil {
			return nil, err
		}
		next = func(ctx context.Context, tail Stored) (Stored, error) {
			seqs = slices.DeleteFunc(seqs, func(seq uint64) bool { return seq <= tail.Seq })
			if len(seqs) == 0 {
				return Stored{}, nil
			}
			return Read(ctx, l.store, l.cluster, seqs[0])
		}
	}
	if err := l.unchanged(ctx, tail); err != nil {
		return nil, err
	}
	if read.Seq < tail.Seq {
		if err := verify(ctx, l.store, l.cluster, tail, read); err != nil {
			return nil, err
		}
	}
	var news []Stored
	for {
		n, err := next(ctx, tail)
		if err != nil {
			return nil, err
		}
		if n.Entry == nil {
			break
		}
		if err := follows(tail, n.Entry); err != nil {
			return nil, err
		}
		news = append(news, n)
		tail = n
	}
	if len(news) > 0 {
		// Where these lie has to be where the entry before them lies: the store may have
		// been exchanged since that one was looked at, and they made here since.
		if err := l.unchanged(ctx, before); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if tail.Seq > l.read.Seq {
		l.read = tail.Mark()
	}
	for _, n := range news {
		if n.Seq > l.tail.Seq {
			l.advance(n)
		}
	}
	return news, nil
}

// byName reads the entry after the tail; none there is no error.
func (l *Ledger) byName(ctx context.Context, tail Stored) (Stored, error) {
	next, err := Read(ctx, l.store, l.cluster, tail.Seq+1)
	if errors.Is(err, persistence.ErrNotFound) {
		return Stored{}, nil
	}
	return next, err
}

// list gives the numbers of the entries from the tail on.
func (l *Ledger) list(ctx context.Context, tail Stored) ([]uint64, error) {
	// All folders from the tail's on: the ledger may have crossed into the next,
	// and a repair leaps far ahead.
	all, err := folders(ctx, l.store)
	if err != nil {
		return nil, err
	}
	var seqs []uint64
	for _, f := range all {
		if f < tail.Seq/perFolder {
			continue
		}
		some, err := numbers(ctx, l.store, f)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, some...)
	}
	if !slices.Contains(seqs, tail.Seq) {
		return nil, gone(tail)
	}
	return seqs, nil
}

func gone(tail Stored) error {
	return &HistoryError{Key: Key(tail.Seq), Why: "the newest entry is gone: entries are lost"}
}

// unchanged reads the tail's bytes again: a store that was restored or whose
// server lost acknowledged writes shows itself here.
func (l *Ledger) unchanged(ctx context.Context, tail Stored) error {
	obj, err := l.store.Get(ctx, Key(tail.Seq))
	if errors.Is(err, persistence.ErrNotFound) {
		return gone(tail)
	}
	if err != nil {
		return err
	}
	if record.Hash(obj.Value) != tail.Hash {
		return &HistoryError{Key: Key(tail.Seq), Why: "another entry than the one read before: the history is forked"}
	}
	return nil
}

// Differs holds a mark that a peer's heartbeat carries against this ledger: a
// *HistoryError if the peer followed another history, ErrBehind if this node
// has not read as far.
func (l *Ledger) Differs(peer string, m Mark) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.Seq > l.tail.Seq {
		l.spared = l.spare // the next refresh looks by a listing
		return ErrBehind
	}
	if hash, known := l.hashes[m.Seq]; known && hash != m.Hash {
		return &HistoryError{Key: Key(m.Seq), Why: fmt.Sprintf("%s follows another entry: the history is forked", peer)}
	}
	return nil
}

// ErrBehind: a peer knows of entries that this node has not read.
var ErrBehind = errors.New("the ledger is known to be longer")

// keptHashes is how many of the newest entries' hashes are kept.
const keptHashes = 4096

func (l *Ledger) advance(s Stored) {
	l.tail = s
	l.hashes[s.Seq] = s.Hash
	if len(l.hashes) > keptHashes {
		for seq := range l.hashes {
			if seq+keptHashes/2 < s.Seq {
				delete(l.hashes, seq)
			}
		}
	}
}

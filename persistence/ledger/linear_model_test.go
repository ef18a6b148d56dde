package ledger_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// What a caller was told about a write, or that it read the tail.
const (
	isMade       = "made"
	isSuperseded = "superseded"
	isUnknown    = "unknown"
	isTail       = "the tail"
)

// mark is one number of the register: who stands there, with which token.
type mark struct {
	id    string
	epoch uint64
}

// register is what the ledger promises to be: an append-only list, entry n at
// index n - 1, that grows only by whoever names its present end.
type register []mark

// call is the input of an operation: an entry to be made, or nothing to read.
type call struct {
	seq   uint64
	entry mark
	prev  string // id of the tail that the entry was made from
	claim bool
}

// answer is the output of an operation.
type answer struct {
	what string
	seq  uint64 // of the tail that was read
	tail mark
}

// allowed says whether an operation with this answer may happen now, and what the
// register is after it.
//
// A write of unknown outcome takes effect if it can. That it may as well never do
// so needs no choice here: its return is open, so it can come after everything
// that was observed, where its effect is seen by nobody.
func allowed(r register, in call, out answer) (bool, register) {
	if out.what == isTail {
		return uint64(len(r)) == out.seq && r[len(r)-1] == out.tail, r
	}
	if taken := uint64(len(r)) >= in.seq; taken {
		return out.what != isMade && r[in.seq-1] != in.entry, r
	}
	end := r[len(r)-1]
	rise := uint64(0)
	if in.claim {
		rise = 1
	}
	fits := uint64(len(r)) == in.seq-1 && end.id == in.prev && in.entry.epoch == end.epoch+rise
	if !fits || out.what == isSuperseded {
		return false, r
	}
	return true, append(slices.Clip(r), in.entry)
}

// model is the register, which begins with the founding entry.
func model(first ledger.Stored) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return register{{first.ID, first.Epoch}} },
		Step: func(state, in, out any) (bool, any) { return allowed(state.(register), in.(call), out.(answer)) },
		Equal: func(a, b any) bool {
			return slices.Equal(a.(register), b.(register))
		},
		Hash: func(state any) uint64 {
			h := fnv.New64a()
			h.Write([]byte(state.(register)[len(state.(register))-1].id))
			return h.Sum64()
		},
		DescribeOperation: func(in, out any) string {
			c, a := in.(call), out.(answer)
			if a.what == isTail {
				return fmt.Sprintf("read: %d %s", a.seq, short(a.tail.id))
			}
			return fmt.Sprintf("%d %s after %s: %s", c.seq, short(c.entry.id), short(c.prev), a.what)
		},
		DescribeState: func(state any) string {
			r := state.(register)
			return fmt.Sprintf("%d %s", len(r), short(r[len(r)-1].id))
		},
	}
}

// short is the part of an id in which those made at the same time differ.
func short(id string) string { return id[max(len(id)-5, 0):] }

// history records who was told what, and when, for porcupine.
type history struct {
	clock atomic.Int64 // only the order counts
	mu    sync.Mutex
	ops   []porcupine.Operation
	told  map[string]int
}

func (h *history) now() int64 { return h.clock.Add(1) }

// add records an operation that has just ended.
func (h *history) add(client int, begun int64, in call, out answer) {
	ended := h.now()
	if out.what == isUnknown {
		ended = math.MaxInt64 // it may be carried out at any time from now on
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told == nil {
		h.told = map[string]int{}
	}
	h.told[out.what]++
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: begun, Output: out, Return: ended})
}

// checkPatience bounds one check; a history that takes longer is not judged.
const checkPatience = 3 * time.Second

// judge asks porcupine whether the ledger was a register all the time.
func (h *history) judge(first ledger.Stored) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(model(first), h.telling(), checkPatience)
}

// telling leaves out the writes of unknown outcome that were certainly not
// carried out: another entry was seen under the number, and theirs never. They
// fit in anywhere, and the checker would try them everywhere.
func (h *history) telling() []porcupine.Operation {
	seen := map[uint64][]mark{}
	for _, op := range h.ops {
		in, out := op.Input.(call), op.Output.(answer)
		switch out.what {
		case isMade:
			seen[in.seq] = append(seen[in.seq], in.entry)
		case isTail:
			seen[out.seq] = append(seen[out.seq], out.tail)
		}
	}
	return slices.DeleteFunc(slices.Clone(h.ops), func(op porcupine.Operation) bool {
		in := op.Input.(call)
		return op.Output.(answer).what == isUnknown && len(seen[in.seq]) > 0 && !slices.Contains(seen[in.seq], in.entry)
	})
}

// explain draws the history of a failure where -artifacts keeps it.
func (h *history) explain(t *testing.T, first ledger.Stored) {
	t.Helper()
	path := filepath.Join(t.ArtifactDir(), "history.html")
	_, info := porcupine.CheckOperationsVerbose(model(first), h.telling(), checkPatience)
	if err := porcupine.VisualizePath(model(first), info, path); err != nil {
		t.Error(err)
		return
	}
	t.Logf("the history is drawn in %s (kept by go test -artifacts)", path)
}

package sim

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

// shared is the store that all nodes share: the product's own memory store, and
// a history of what lay in it, for stale readers and for the rules.
type shared struct {
	w    *world
	name string // "" for the cluster's own; what it is otherwise
	*memory.Store

	mu       sync.Mutex // one write at a time, with what is checked of it
	versions map[string][]version
}

// version is what lay under a key from an instant on; nil for nothing.
type version struct {
	at    time.Duration
	value []byte
}

// outside is the context of what happens outside of the program, which nobody
// gives up: processes live and writes land whatever became of who asked for them.
var outside = context.Background()

// keptVersions bounds the history of a key: more than a bound of staleness.
const keptVersions = 8

func newShared(w *world, name string) *shared {
	return &shared{w: w, name: name, Store: memory.New(), versions: map[string][]version{}}
}

// write lands an operation in the store, and holds it against the rules.
func (s *shared) write(op, key string, value []byte, who string) error {
	ctx := outside
	s.mu.Lock()
	var err error
	switch op {
	case "put":
		err = s.Put(ctx, key, value)
	case "create":
		err = s.Create(ctx, key, value)
	case "delete":
		err, value = s.Delete(ctx, key), nil
	}
	if err == nil {
		s.keep(key, value)
		s.w.landed(s, op, key, value, who)
	}
	s.mu.Unlock()
	s.w.checkMasters()
	return err
}

func (s *shared) keep(key string, value []byte) {
	if strings.HasPrefix(key, "probe/") {
		return
	}
	all := append(s.versions[key], version{s.w.now(), bytes.Clone(value)})
	if len(all) > 2*keptVersions && !strings.HasPrefix(key, "ledger/") {
		all = slices.Clone(all[len(all)-keptVersions:])
	}
	s.versions[key] = all
}

// history is what lay under a key lately, oldest first.
func (s *shared) history(key string) []version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.versions[key])
}

// before is what a reader sees whose cache is as old as lag.
func (s *shared) before(key string, lag time.Duration) (persistence.Object, error) {
	all := s.history(key)
	for _, v := range slices.Backward(all) {
		if v.at <= s.w.now()-lag {
			if v.value == nil {
				break
			}
			return persistence.Object{Value: bytes.Clone(v.value), Modified: s.w.began.Add(v.at)}, nil
		}
	}
	if len(all) >= keptVersions && all[0].value != nil {
		return persistence.Object{Value: bytes.Clone(all[0].value), Modified: s.w.began.Add(all[0].at)}, nil
	}
	return persistence.Object{}, &persistence.Error{Op: "get", Key: key, Err: persistence.ErrNotFound}
}

// listBefore lists a folder without what a stale cache does not hold yet.
func (s *shared) listBefore(ctx context.Context, folder string, lag time.Duration) ([]string, error) {
	names, err := s.List(ctx, folder)
	return slices.DeleteFunc(names, func(n string) bool {
		all := s.history(folder + "/" + n)
		return len(all) > 0 && all[0].at > s.w.now()-lag
	}), err
}

// read is a Get by somebody outside of the program.
func (s *shared) read(key string) []byte {
	o, err := s.Get(outside, key)
	if err != nil {
		return nil
	}
	return o.Value
}

package doctor

import (
	"context"
	"sync/atomic"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// spread sends one call after the other to several servers of one store, so that what
// one has answered is asked of another.
type spread struct {
	all   []persistence.Store
	calls atomic.Uint64
}

func (s *spread) next() persistence.Store {
	return s.all[(s.calls.Add(1)-1)%uint64(len(s.all))]
}

func (s *spread) Get(ctx context.Context, key string) (persistence.Object, error) {
	return s.next().Get(ctx, key)
}

func (s *spread) Put(ctx context.Context, key string, value []byte) error {
	return s.next().Put(ctx, key, value)
}

func (s *spread) Create(ctx context.Context, key string, value []byte) error {
	return s.next().Create(ctx, key, value)
}

func (s *spread) List(ctx context.Context, folder string) ([]string, error) {
	return s.next().List(ctx, folder)
}

func (s *spread) Delete(ctx context.Context, key string) error { return s.next().Delete(ctx, key) }

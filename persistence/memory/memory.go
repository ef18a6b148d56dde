package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// Store keeps its keys in a map. All who share a *Store share its content.
type Store struct {
	mu      sync.Mutex
	objects map[string]persistence.Object
	// folders counts, for each folder, the keys at or below each name in it.
	folders map[string]map[string]int
}

var (
	_ persistence.Store = (*Store)(nil)
	_ persistence.Clock = (*Store)(nil)
)

// New makes an empty store.
func New() *Store {
	return &Store{objects: map[string]persistence.Object{}, folders: map[string]map[string]int{}}
}

// Get implements persistence.Store.
func (s *Store) Get(ctx context.Context, key string) (persistence.Object, error) {
	if err := check(ctx, persistence.CheckKey(key)); err != nil {
		return persistence.Object{}, fail("get", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return persistence.Object{}, fail("get", key, persistence.ErrNotFound)
	}
	o.Value = bytes.Clone(o.Value)
	return o, nil
}

// Put implements persistence.Store.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	if err := check(ctx, persistence.CheckKey(key), persistence.CheckValue(value)); err != nil {
		return fail("put", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, value)
	return nil
}

// Create implements persistence.Store.
func (s *Store) Create(ctx context.Context, key string, value []byte) error {
	if err := check(ctx, persistence.CheckKey(key), persistence.CheckValue(value)); err != nil {
		return fail("create", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok {
		return fail("create", key, persistence.ErrExists)
	}
	s.set(key, value)
	return nil
}

// List implements persistence.Store.
func (s *Store) List(ctx context.Context, folder string) ([]string, error) {
	var err error
	if folder != "" {
		err = persistence.CheckKey(folder)
	}
	if err := check(ctx, err); err != nil {
		return nil, fail("list", cmp.Or(folder, "/"), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.folders[folder])), nil
}

// Delete implements persistence.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, persistence.CheckKey(key)); err != nil {
		return fail("delete", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok {
		delete(s.objects, key)
		s.count(key, -1)
	}
	return nil
}

// Now implements persistence.Clock.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if err := check(ctx); err != nil {
		return time.Time{}, fail("time", "/", err)
	}
	return time.Now(), nil
}

func (s *Store) set(key string, value []byte) {
	if _, ok := s.objects[key]; !ok {
		s.count(key, 1)
	}
	s.objects[key] = persistence.Object{Value: bytes.Clone(value), Modified: time.Now()}
}

// count enters a key into the listing of each folder above it, or takes it out.
func (s *Store) count(key string, by int) {
	folder, rest, more := "", key, true
	for more {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		shown := name
		if more {
			shown += "/"
		}
		names := s.folders[folder]
		if names == nil {
			names = map[string]int{}
			s.folders[folder] = names
		}
		if names[shown] += by; names[shown] == 0 {
			delete(names, shown)
		}
		if len(names) == 0 {
			delete(s.folders, folder)
		}
		folder = strings.TrimPrefix(folder+"/"+name, "/")
	}
}

// check gives the first reason not to begin.
func check(ctx context.Context, errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func fail(op, key string, err error) error {
	return &persistence.Error{Op: op, Key: key, Err: err}
}

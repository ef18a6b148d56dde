package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

// liar is a store of which single calls are replaced.
type liar struct {
	*memory.Store
	get    func(ctx context.Context, key string) (persistence.Object, error)
	put    func(ctx context.Context, key string, value []byte) error
	create func(ctx context.Context, key string, value []byte) error
	list   func(ctx context.Context, folder string) ([]string, error)
	remove func(ctx context.Context, key string) error
}

func (l *liar) Get(ctx context.Context, key string) (persistence.Object, error) {
	if l.get != nil {
		return l.get(ctx, key)
	}
	return l.Store.Get(ctx, key)
}

func (l *liar) Put(ctx context.Context, key string, value []byte) error {
	if l.put != nil {
		return l.put(ctx, key, value)
	}
	return l.Store.Put(ctx, key, value)
}

func (l *liar) Create(ctx context.Context, key string, value []byte) error {
	if l.create != nil {
		return l.create(ctx, key, value)
	}
	return l.Store.Create(ctx, key, value)
}

func (l *liar) List(ctx context.Context, folder string) ([]string, error) {
	if l.list != nil {
		return l.list(ctx, folder)
	}
	return l.Store.List(ctx, folder)
}

func (l *liar) Delete(ctx context.Context, key string) error {
	if l.remove != nil {
		return l.remove(ctx, key)
	}
	return l.Store.Delete(ctx, key)
}

// later waits as a server takes its time, so that others come in between.
func later() { <-time.After(time.Millisecond) }

func TestProveRefusesLiars(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(l *liar)
		says string
	}{
		"ignores exclusivity": {func(l *liar) {
			l.create = l.Store.Put
		}, "does not honour Create"},
		"looks first, and writes later": {func(l *liar) {
			l.create = func(ctx context.Context, key string, value []byte) error {
				if _, err := l.Store.Get(ctx, key); err == nil {
					return persistence.ErrExists
				}
				later()
				return l.Store.Put(ctx, key, value)
			}
		}, "does not honour Create in a race"},
		"a loser's value stays": {func(l *liar) {
			l.create = func(ctx context.Context, key string, value []byte) error {
				err := l.Store.Create(ctx, key, value)
				if err != nil && strings.Contains(key, "race") {
					l.Store.Put(ctx, key, value)
				}
				return err
			}
		}, "not the winner's"},
		"nobody wins": {func(l *liar) {
			l.create = func(ctx context.Context, key string, value []byte) error {
				err := l.Store.Create(ctx, key, value)
				if strings.Contains(key, "race") {
					return persistence.ErrExists
				}
				return err
			}
		}, "0 of 16 concurrent creators"},
		"a fresh key exists": {func(l *liar) {
			l.create = func(context.Context, string, []byte) error { return persistence.ErrExists }
		}, `answered "exists already"`},
		"does not know Create": {func(l *liar) {
			l.create = func(context.Context, string, []byte) error { return errors.New("501 NotImplemented") }
		}, "501 NotImplemented"},
		"never clear": {func(l *liar) {
			l.create = func(context.Context, string, []byte) error {
				return fmt.Errorf("%w: 409 conflict", persistence.ErrUnknown)
			}
		}, "409 conflict"},
		"reads what was": {func(l *liar) {
			var mu sync.Mutex
			seen := map[string]persistence.Object{}
			l.get = func(ctx context.Context, key string) (persistence.Object, error) {
				o, err := l.Store.Get(ctx, key)
				mu.Lock()
				defer mu.Unlock()
				if old, ok := seen[key]; ok {
					return old, nil
				}
				seen[key] = o
				return o, err
			}
		}, "where"},
		"lists late": {func(l *liar) {
			l.list = func(context.Context, string) ([]string, error) { return nil, nil }
		}, "list probe/"},
		"does not delete": {func(l *liar) {
			l.remove = func(context.Context, string) error { return nil }
		}, "gave the key back"},
		"read-only": {func(l *liar) {
			l.create = func(context.Context, string, []byte) error {
				return fmt.Errorf("%w: mounted read-only", persistence.ErrRefused)
			}
		}, "mounted read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &liar{Store: memory.New()}
				c.lie(l)
				err := persistence.Prove(t.Context(), l)
				if !errors.Is(err, persistence.ErrRefused) {
					t.Fatalf("%v, want ErrRefused", err)
				}
				if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v, want one line with %q", err, c.says)
				}
				if names, _ := l.Store.List(t.Context(), ""); l.remove == nil && len(names) > 0 {
					t.Errorf("left behind: %q", names)
				}
			})
		})
	}
}

// A store that loses answers honours Create all the same.
func TestProveBearsLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &liar{Store: memory.New()}
		l.create = func(ctx context.Context, key string, value []byte) error {
			if err := l.Store.Create(ctx, key, value); err != nil {
				return err
			}
			return fmt.Errorf("%w: connection reset", persistence.ErrUnknown)
		}
		if err := persistence.Prove(t.Context(), l); err != nil {
			t.Error(err)
		}
	})
}

func TestProveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{Store: memory.New(), gate: make(chan struct{})}
		defer close(h.gate)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errImpatient)
		defer cancel()
		err := persistence.Prove(ctx, h)
		if !errors.Is(err, errImpatient) || errors.Is(err, persistence.ErrRefused) {
			t.Errorf("%v, want the context's cause and no refusal", err)
		}
		if sent := h.sent.Load(); sent != 1 {
			t.Errorf("%d operations were sent to a store that answers none, want 1", sent)
		}
	})
}

package persistence

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

// ErrBusy: an earlier call in the same lane has not been answered, so this one
// was never sent. It is a plain failure: nothing was changed and nothing will
// be.
var ErrBusy = errors.New("lane is busy")

// Lane bounds what a store that stops answering can do to its callers. Calls
// end when their context does, even if the store below still hangs (a dead NFS
// server holds a process in the kernel for as long as it likes): a read then
// fails with the context's cause, a write with ErrUnknown, because it may land
// yet. Behind a lane at most one operation is outstanding, so that each
// purpose costs at most one blocked thread.
//
// While a call is being answered in time, others in the lane wait for their
// turn, in no particular order. From the moment its caller gives up until the
// store answers after all, every call fails at once with ErrBusy.
//
// One lane a purpose: heartbeats in a lane of their own never queue behind
// anything else. The name appears in errors. The lane keeps Counter, and Clock if the
// store does.
func Lane(s Store, name string) Store {
	l := &lane{store: s, name: name, sent: map[string]uint64{}}
	if c, ok := s.(Clock); ok {
		return &clockLane{lane: l, clock: c}
	}
	return l
}

type lane struct {
	store Store
	name  string

	mu      sync.Mutex
	current *turn // nil: the lane is free
	sent    map[string]uint64
}

// Counter is kept by lanes.
type Counter interface {
	// Sent is how many operations were handed to the store, by their kind: get, put,
	// create, list, delete, time.
	Sent() map[string]uint64
}

// Sent implements Counter.
func (l *lane) Sent() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.sent)
}

// turn is one operation that was handed to the store.
type turn struct {
	what  string
	begun time.Time
	done  chan struct{} // closed when the store has answered
	left  chan struct{} // closed when the caller has given up
}

type clockLane struct {
	*lane
	clock Clock
}

func (l *clockLane) Now(ctx context.Context) (time.Time, error) {
	return run(ctx, l.lane, "time", "/", false, l.clock.Now)
}

func (l *lane) Get(ctx context.Context, key string) (Object, error) {
	return run(ctx, l, "get", key, false, func(ctx context.Context) (Object, error) {
		return l.store.Get(ctx, key)
	})
}

func (l *lane) Put(ctx context.Context, key string, value []byte) error {
	value = bytes.Clone(value) // the caller may reuse it while the store hangs
	return l.write(ctx, "put", key, func(ctx context.Context) error { return l.store.Put(ctx, key, value) })
}

func (l *lane) Create(ctx context.Context, key string, value []byte) error {
	value = bytes.Clone(value)
	return l.write(ctx, "create", key, func(ctx context.Context) error { return l.store.Create(ctx, key, value) })
}

func (l *lane) List(ctx context.Context, folder string) ([]string, error) {
	return run(ctx, l, "list", cmp.Or(folder, "/"), false, func(ctx context.Context) ([]string, error) {
		return l.store.List(ctx, folder)
	})
}

func (l *lane) Delete(ctx context.Context, key string) error {
	return l.write(ctx, "delete", key, func(ctx context.Context) error { return l.store.Delete(ctx, key) })
}

func (l *lane) write(ctx context.Context, op, key string, f func(context.Context) error) error {
	_, err := run(ctx, l, op, key, true, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f(ctx)
	})
	return err
}

// run sends one operation to the store when the lane is free, and waits for
// its answer until the context ends.
func run[T any](ctx context.Context, l *lane, op, key string, write bool, f func(context.Context) (T, error)) (T, error) {
	var none T
	t, err := l.enter(ctx, op, key)
	if err != nil {
		return none, &Error{Op: op, Key: key, Err: err}
	}
	var value T
	var answer error
	go func() {
		value, answer = f(ctx)
		l.leave(t)
	}()
	select {
	case <-t.done:
		return value, answer
	case <-ctx.Done():
	}
	if l.abandon(t) {
		err := fmt.Errorf("the store did not answer in %s: %w", time.Since(t.begun).Round(time.Millisecond), context.Cause(ctx))
		if write {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return none, &Error{Op: op, Key: key, Err: err}
	}
	return value, answer
}

// enter takes the lane, or says why the operation was not sent.
func (l *lane) enter(ctx context.Context, op, key string) (*turn, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		l.mu.Lock()
		t := l.current
		if t == nil {
			l.sent[op]++
			t = &turn{what: op + " " + key, begun: time.Now(), done: make(chan struct{}), left: make(chan struct{})}
			l.current = t
			l.mu.Unlock()
			return t, nil
		}
		l.mu.Unlock()
		select {
		case <-t.done:
		case <-t.left:
			return nil, fmt.Errorf("%w: %s: %s was sent %s ago and has not been answered", ErrBusy, l.name,
				t.what, time.Since(t.begun).Round(time.Millisecond))
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s: it was not its turn in time: %w", ErrBusy, l.name, context.Cause(ctx))
		}
	}
}

// leave frees the lane: the store has answered.
func (l *lane) leave(t *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = nil
	close(t.done)
}

// abandon gives a turn up, unless the store has answered meanwhile.
func (l *lane) abandon(t *turn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != t {
		return false
	}
	close(t.left)
	return true
}

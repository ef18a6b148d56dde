package persistence_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

// hung is a store whose calls wait until they are let go, whatever their
// context says.
type hung struct {
	persistence.Store
	gate    chan struct{} // nil: it answers
	pending atomic.Int32
	most    atomic.Int32
	sent    atomic.Int32
}

func (h *hung) wait() {
	h.sent.Add(1)
	h.most.Store(max(h.most.Load(), h.pending.Add(1)))
	defer h.pending.Add(-1)
	if h.gate != nil {
		<-h.gate
	}
}

func (h *hung) Get(ctx context.Context, key string) (persistence.Object, error) {
	h.wait()
	return h.Store.Get(context.WithoutCancel(ctx), key)
}

func (h *hung) Put(ctx context.Context, key string, value []byte) error {
	h.wait()
	return h.Store.Put(context.WithoutCancel(ctx), key, value)
}

func (h *hung) Create(ctx context.Context, key string, value []byte) error {
	h.wait()
	return h.Store.Create(context.WithoutCancel(ctx), key, value)
}

func (h *hung) List(ctx context.Context, folder string) ([]string, error) {
	h.wait()
	return h.Store.List(context.WithoutCancel(ctx), folder)
}

func (h *hung) Delete(ctx context.Context, key string) error {
	h.wait()
	return h.Store.Delete(context.WithoutCancel(ctx), key)
}

// calls are all calls by name, and whether they write.
func calls(ctx context.Context, s persistence.Store) map[string]func() error {
	return map[string]func() error{
		"get":    func() error { _, err := s.Get(ctx, "k"); return err },
		"list":   func() error { _, err := s.List(ctx, ""); return err },
		"put":    func() error { return s.Put(ctx, "k", []byte("v")) },
		"create": func() error { return s.Create(ctx, "k", []byte("v")) },
		"delete": func() error { return s.Delete(ctx, "k") },
	}
}

var errImpatient = errors.New("impatient")

func TestLaneEndsWithItsContext(t *testing.T) {
	for _, op := range []string{"get", "list", "put", "create", "delete"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hung{Store: memory.New(), gate: make(chan struct{})}
				l := persistence.Lane(h, "heartbeat")
				ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errImpatient)
				defer cancel()
				begun := time.Now()
				err := calls(ctx, l)[op]()
				if took := time.Since(begun); took != 3*time.Second {
					t.Errorf("it took %s", took)
				}
				if !errors.Is(err, errImpatient) || !strings.Contains(err.Error(), "store did not answer") {
					t.Errorf("%v, want the context's cause and that the store did not answer", err)
				}
				if write := op != "get" && op != "list"; errors.Is(err, persistence.ErrUnknown) != write {
					t.Errorf("%v: unknown %v, want %v", err, !write, write)
				}
				// Nothing more is sent, and every call fails at once.
				for op, call := range calls(t.Context(), l) {
					begun := time.Now()
					err := call()
					var e *persistence.Error
					if !errors.Is(err, persistence.ErrBusy) || errors.Is(err, persistence.ErrUnknown) || !errors.As(err, &e) {
						t.Errorf("%s behind a hung call: %v, want ErrBusy alone", op, err)
					}
					if time.Since(begun) != 0 {
						t.Errorf("%s behind a hung call waited", op)
					}
				}
				if sent := h.sent.Load(); sent != 1 {
					t.Errorf("%d operations were sent, want 1", sent)
				}
				// Once the store answers, the lane is free again.
				close(h.gate)
				synctest.Wait()
				if _, err := l.List(t.Context(), ""); err != nil {
					t.Errorf("after the store has answered: %v", err)
				}
			})
		})
	}
}

func TestLaneHasOneOperationAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{Store: memory.New(), gate: make(chan struct{})}
		l := persistence.Lane(h, "entries")
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if err := l.Put(t.Context(), "k", []byte("v")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := h.pending.Load(); n != 1 {
			t.Errorf("%d operations are outstanding, want 1", n)
		}
		close(h.gate)
		group.Wait()
		if sent, most := h.sent.Load(), h.most.Load(); sent != 8 || most != 1 {
			t.Errorf("%d were sent, up to %d at a time; want 8 and 1", sent, most)
		}
	})
}

func TestLaneWaitersFailWhenACallHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{Store: memory.New(), gate: make(chan struct{})}
		defer close(h.gate)
		l := persistence.Lane(h, "entries")
		first, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		go l.Put(first, "k", []byte("v"))
		synctest.Wait()

		short, cancel2 := context.WithTimeoutCause(t.Context(), time.Second/2, errImpatient)
		defer cancel2()
		err := l.Put(short, "k", []byte("v"))
		if !errors.Is(err, persistence.ErrBusy) || !errors.Is(err, errImpatient) || errors.Is(err, persistence.ErrUnknown) {
			t.Errorf("a call whose turn never came: %v, want ErrBusy and its cause, not ErrUnknown", err)
		}
		if err := l.Put(t.Context(), "k", []byte("v")); !errors.Is(err, persistence.ErrBusy) {
			t.Errorf("a call that waited behind one that hangs: %v, want ErrBusy", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it waited for %s, want until the first was given up", took)
		}
	})
}

// Two lanes of one store do not wait for each other.
func TestLanesAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{Store: memory.New(), gate: make(chan struct{})}
		slow, fast := persistence.Lane(h, "slow"), persistence.Lane(h.Store, "fast")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		value := []byte("mine")
		if err := slow.Put(ctx, "k", value); !errors.Is(err, persistence.ErrUnknown) {
			t.Fatal(err)
		}
		copy(value, "gone")
		if err := fast.Put(t.Context(), "other", []byte("v")); err != nil {
			t.Error(err)
		}
		// The write lands late, as it was given.
		close(h.gate)
		synctest.Wait()
		o, err := fast.Get(t.Context(), "k")
		if err != nil || string(o.Value) != "mine" {
			t.Errorf("the late write reads %q, %v", o.Value, err)
		}
	})
}

func TestLaneKeepsTheClock(t *testing.T) {
	if _, ok := persistence.Lane(memory.New(), "x").(persistence.Clock); !ok {
		t.Error("the lane of a store with a clock has none")
	}
	if _, ok := persistence.Lane(&hung{Store: memory.New()}, "x").(persistence.Clock); ok {
		t.Error("the lane of a store without a clock has one")
	}
}

// TestSent: what was handed to the store is counted, and nothing else.
func TestSent(t *testing.T) {
	h := &hung{Store: memory.New(), gate: make(chan struct{})}
	l := persistence.Lane(h, "test")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Put(ctx, "key", []byte("v")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(h.gate)
	for range 3 {
		if err := l.Put(t.Context(), "key", []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.List(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"put": 3, "list": 1}
	if got := l.(persistence.Counter).Sent(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

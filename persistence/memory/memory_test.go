package memory_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/storetest"
)

// opener gives each test one store, however often it opens it.
func opener(wrap func(persistence.Store) persistence.Store) func(*testing.T) persistence.Store {
	var mu sync.Mutex
	stores := map[string]persistence.Store{}
	return func(t *testing.T) persistence.Store {
		mu.Lock()
		defer mu.Unlock()
		if stores[t.Name()] == nil {
			stores[t.Name()] = memory.New()
		}
		return wrap(stores[t.Name()])
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, opener(func(s persistence.Store) persistence.Store { return s }))
}

func TestConformanceBehindALane(t *testing.T) {
	storetest.Run(t, opener(func(s persistence.Store) persistence.Store { return persistence.Lane(s, "test") }))
}

func TestBubbleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		begun := time.Now()
		<-time.After(time.Hour)
		if err := s.Put(t.Context(), "key", []byte("v")); err != nil {
			t.Fatal(err)
		}
		o, err := s.Get(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		now, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := begun.Add(time.Hour); !o.Modified.Equal(want) || !now.Equal(want) {
			t.Errorf("modified %s, now %s, want %s", o.Modified, now, want)
		}
	})
}

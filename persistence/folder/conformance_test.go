package folder_test

import (
	"sync"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/folder"
	"github.com/hoster-ha/hoster-ha/persistence/storetest"
)

// opener gives each test one folder, opened anew each time.
func opener(wrap func(persistence.Store) persistence.Store) func(*testing.T) persistence.Store {
	var mu sync.Mutex
	roots := map[string]string{}
	return func(t *testing.T) persistence.Store {
		mu.Lock()
		defer mu.Unlock()
		if roots[t.Name()] == "" {
			roots[t.Name()] = t.TempDir()
		}
		s, err := folder.Open(roots[t.Name()])
		if err != nil {
			t.Fatal(err)
		}
		return wrap(s)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, opener(func(s persistence.Store) persistence.Store { return s }))
}

func TestConformanceBehindALane(t *testing.T) {
	storetest.Run(t, opener(func(s persistence.Store) persistence.Store { return persistence.Lane(s, "test") }))
}

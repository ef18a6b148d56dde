package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func testCreateRace(t *testing.T, open Opener) {
	const racers, keys = 16, 6
	stores := []persistence.Store{open(t), open(t)}
	for k := range keys {
		// Some in a folder that the racers make, too.
		key := fmt.Sprintf("ledger/%d/%020d.json", k/2, k)
		values := make([][]byte, racers)
		errs := make([]error, racers)
		start := make(chan struct{})
		var group sync.WaitGroup
		for i := range racers {
			values[i] = fmt.Appendf(nil, "racer %d %s.", i, strings.Repeat("x", i*700))
			group.Go(func() {
				<-start
				errs[i] = stores[i%len(stores)].Create(t.Context(), key, values[i])
			})
		}
		close(start)
		group.Wait()
		var winners []int
		for i, err := range errs {
			switch {
			case err == nil:
				winners = append(winners, i)
			case !errors.Is(err, persistence.ErrExists):
				t.Errorf("%s: racer %d: %v, want ErrExists", key, i, err)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("%s: racers %v made it, want exactly one", key, winners)
		}
		for _, s := range stores {
			wantValue(t, s, key, values[winners[0]])
		}
	}
	wantNames(t, stores[0], "ledger", "0/", "1/", "2/")
}

// testConcurrent has one writer of records and several readers: a reader sees
// what was answered before it began or something newer, and a torn read shows
// as a torn record and never as another one.
func testConcurrent(t *testing.T, open Opener) {
	const writes, readers, key = 300, 3, "members/n.json"
	writer := open(t)
	var begun, answered, torn, read atomic.Int64
	must(t, writer.Put(t.Context(), key, sealed(t, 0, 400)))
	var group sync.WaitGroup
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop); group.Wait() })
	defer end()
	for range readers {
		s := open(t)
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := answered.Load()
				o, err := s.Get(t.Context(), key)
				most := begun.Load()
				if err != nil {
					t.Error(err)
					return
				}
				var b body
				if err := record.Open(kind, o.Value, &b); err != nil {
					if !errors.Is(err, record.ErrTorn) {
						t.Error(err)
						return
					}
					torn.Add(1)
					continue
				}
				read.Add(1)
				if n := int64(b.N); n < least || n > most {
					t.Errorf("read record %d after %d was answered and %d was begun", n, least, most)
					return
				}
				if b.Fill != fill(b.N, len(b.Fill)) {
					t.Errorf("record %d passes for whole and is not", b.N)
					return
				}
			}
		})
	}
	sizes := []int{400, 4095, 1200, 4095, 4094}
	for n := 1; n <= writes; n++ {
		size := sizes[n%len(sizes)]
		if n%50 == 0 {
			size = 6000
		}
		value := sealed(t, n, size)
		begun.Store(int64(n))
		must(t, writer.Put(t.Context(), key, value))
		answered.Store(int64(n))
	}
	end()
	wantValue(t, writer, key, sealed(t, writes, 6000))
	if read.Load() == 0 {
		t.Error("no reader read a whole record")
	}
	t.Logf("%d whole reads, %d torn ones", read.Load(), torn.Load())
}

func testList(t *testing.T, open Opener) {
	a, b := open(t), open(t)
	for _, key := range []string{"members/b.json", "members/a.json", "cluster.json", "ledger/1/x", "ledger/0/y", "ledger/10/z", "Z", "a-b"} {
		must(t, a.Put(t.Context(), key, []byte("v")))
	}
	for _, s := range []persistence.Store{a, b} {
		wantNames(t, s, "", "Z", "a-b", "cluster.json", "ledger/", "members/")
		wantNames(t, s, "members", "a.json", "b.json")
		wantNames(t, s, "ledger", "0/", "1/", "10/")
		wantNames(t, s, "ledger/10", "z")
		wantNames(t, s, "ledger/2")
		wantNames(t, s, "memb")
		wantNames(t, s, "cluster.json")
	}
}

func testListMany(t *testing.T, open Opener) {
	const many, writers = 1_100, 8
	a, b := open(t), open(t)
	want := make([]string, many)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := w; i < many; i += writers {
				want[i] = fmt.Sprintf("%020d.json", i)
				if err := a.Create(t.Context(), "ledger/1/"+want[i], []byte("entry")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	got, err := b.List(t.Context(), "ledger/1")
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("listed %d names, want %d", len(got), many)
	}
	wantNames(t, a, "ledger", "1/")
}

package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// Opener opens a store for a test. The first call with a t gives an empty
// store; further ones with the same t open the same content again, as another
// node would.
type Opener func(t *testing.T) persistence.Store

// Run runs the suite against a backend.
func Run(t *testing.T, open func(t *testing.T) persistence.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"empty", testEmpty},
		{"read after write", testReadAfterWrite},
		{"create is exclusive", testCreate},
		{"create in a race", testCreateRace},
		{"delete", testDelete},
		{"list", testList},
		{"list many", testListMany},
		{"refused keys and values", testRefused},
		{"ended context", testEnded},
		{"values byte for byte", testBytes},
		{"alternating sizes", testAlternating},
		{"put and get at once", testConcurrent},
		{"caller keeps its buffers", testBuffers},
		{"clock", testClock},
		{"proof", testProof},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

func testEmpty(t *testing.T, open Opener) {
	s := open(t)
	for _, folder := range []string{"", "members", "ledger/0"} {
		wantNames(t, s, folder)
	}
	if _, err := s.Get(t.Context(), "members/a.json"); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("get of an absent key: %v, want ErrNotFound", err)
	}
}

func testReadAfterWrite(t *testing.T, open Opener) {
	a, b := open(t), open(t)
	for _, key := range []string{"cluster.json", "members/a.json", "ledger/0/00000000000000000001.json", "x/y/z/A-b_c:d@e+f"} {
		for _, value := range []string{"one", "two, and longer", "3"} {
			must(t, a.Put(t.Context(), key, []byte(value)))
			wantValue(t, a, key, []byte(value))
			wantValue(t, b, key, []byte(value))
		}
	}
}

func testCreate(t *testing.T, open Opener) {
	a, b := open(t), open(t)
	must(t, a.Create(t.Context(), "requests/r.json", []byte("first")))
	for _, s := range []persistence.Store{a, b} {
		for _, again := range []string{"second", "first"} {
			if err := s.Create(t.Context(), "requests/r.json", []byte(again)); !errors.Is(err, persistence.ErrExists) {
				t.Errorf("create of a key that was made: %v, want ErrExists", err)
			}
		}
		wantValue(t, s, "requests/r.json", []byte("first"))
	}
	must(t, a.Put(t.Context(), "requests/p.json", []byte("put")))
	if err := b.Create(t.Context(), "requests/p.json", []byte("created")); !errors.Is(err, persistence.ErrExists) {
		t.Errorf("create of a key that was put: %v, want ErrExists", err)
	}
	must(t, b.Put(t.Context(), "requests/r.json", []byte("over")))
	wantValue(t, a, "requests/r.json", []byte("over"))
}

func testDelete(t *testing.T, open Opener) {
	a, b := open(t), open(t)
	must(t, a.Delete(t.Context(), "requests/none.json"))
	must(t, a.Delete(t.Context(), "none/none/none"))
	must(t, a.Create(t.Context(), "requests/r.json", []byte("r")))
	must(t, a.Create(t.Context(), "requests/kept.json", []byte("kept")))
	for range 2 {
		must(t, b.Delete(t.Context(), "requests/r.json"))
	}
	if _, err := a.Get(t.Context(), "requests/r.json"); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("get after delete: %v, want ErrNotFound", err)
	}
	wantNames(t, a, "requests", "kept.json")
	must(t, a.Create(t.Context(), "requests/r.json", []byte("anew")))
	wantValue(t, b, "requests/r.json", []byte("anew"))

	// A folder that is emptied and filled again.
	for range 3 {
		must(t, a.Create(t.Context(), "probe/x/one", []byte("1")))
		wantNames(t, b, "probe/x", "one")
		must(t, b.Delete(t.Context(), "probe/x/one"))
		wantNames(t, a, "probe/x")
	}
	// Deleting what is a folder of keys leaves the keys.
	must(t, a.Delete(t.Context(), "requests"))
	wantNames(t, a, "requests", "kept.json", "r.json")
	if _, err := a.Get(t.Context(), "requests"); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("get of a folder: %v, want ErrNotFound", err)
	}
}

func testRefused(t *testing.T, open Opener) {
	s := open(t)
	ctx := t.Context()
	must(t, s.Put(ctx, "kept", []byte("kept")))
	keys := []string{
		"", "/", "/a", "a/", "a//b", ".a", "a/.b", "..", "../a", "a/../b", "a b", "a\x00b", "é", "a\nb",
		string(bytes.Repeat([]byte("a"), 129)), string(bytes.Repeat([]byte("a/"), 300)) + "a",
	}
	for _, key := range keys {
		_, err := s.Get(ctx, key)
		errs := map[string]error{
			"get": err, "put": s.Put(ctx, key, []byte("v")),
			"create": s.Create(ctx, key, []byte("v")), "delete": s.Delete(ctx, key),
		}
		if key != "" {
			_, errs["list"] = s.List(ctx, key)
		}
		for op, err := range errs {
			wantPlain(t, op+" of a bad key", err)
		}
	}
	for _, value := range [][]byte{
		nil,
		{},
		[]byte("a "), []byte("a\n"), []byte("a\t"), []byte("a\r"), []byte("a\x00"),
		make([]byte, persistence.MaxValue+1),
	} {
		wantPlain(t, "put of a bad value", s.Put(ctx, "new/key", value))
		wantPlain(t, "create of a bad value", s.Create(ctx, "new/key", value))
		wantPlain(t, "put of a bad value", s.Put(ctx, "kept", value))
	}
	wantValue(t, s, "kept", []byte("kept"))
	wantNames(t, s, "", "kept")
}

func testEnded(t *testing.T, open Opener) {
	s := open(t)
	must(t, s.Put(t.Context(), "kept", []byte("kept")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, get := s.Get(ctx, "kept")
	_, list := s.List(ctx, "")
	for op, err := range map[string]error{
		"get": get, "list": list, "put": s.Put(ctx, "kept", []byte("over")),
		"create": s.Create(ctx, "new/key", []byte("new")), "delete": s.Delete(ctx, "kept"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v, want its cause", op, err)
		}
		wantPlain(t, op+" with an ended context", err)
	}
	wantValue(t, s, "kept", []byte("kept"))
	wantNames(t, s, "", "kept")
}

func testBuffers(t *testing.T, open Opener) {
	s := open(t)
	value := []byte("mine")
	must(t, s.Put(t.Context(), "put", value))
	must(t, s.Create(t.Context(), "created", value))
	copy(value, "gone")
	for _, key := range []string{"put", "created"} {
		o, err := s.Get(t.Context(), key)
		must(t, err)
		copy(o.Value, "lost")
		wantValue(t, s, key, []byte("mine"))
	}
}

func testClock(t *testing.T, open Opener) {
	s := open(t)
	must(t, s.Put(t.Context(), "key", []byte("v")))
	o, err := s.Get(t.Context(), "key")
	must(t, err)
	if o.Modified.IsZero() {
		t.Error("a value without its time")
	}
	clock, ok := s.(persistence.Clock)
	if !ok {
		t.Skip("this backend cannot tell the time")
	}
	now, err := clock.Now(t.Context())
	must(t, err)
	// Some stores date to the second.
	if age := now.Sub(o.Modified); age < -time.Second || age > time.Minute {
		t.Errorf("a value just written is %s old by the store's clock", age)
	}
	wantNames(t, s, "", "key")
}

func testProof(t *testing.T, open Opener) {
	s := open(t)
	must(t, persistence.Prove(t.Context(), s))
	left, err := s.List(t.Context(), "probe")
	must(t, err)
	for _, name := range left { // folders that were emptied may still be named
		wantNames(t, s, "probe/"+strings.TrimSuffix(name, "/"))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantPlain wants a failure that says that nothing was done.
func wantPlain(t *testing.T, what string, err error) {
	t.Helper()
	var e *persistence.Error
	switch {
	case err == nil:
		t.Errorf("%s succeeded", what)
	case !errors.As(err, &e):
		t.Errorf("%s: %v is no *persistence.Error", what, err)
	case errors.Is(err, persistence.ErrUnknown), errors.Is(err, persistence.ErrNotFound), errors.Is(err, persistence.ErrExists):
		t.Errorf("%s: %v, want a plain failure", what, err)
	}
}

func wantValue(t *testing.T, s persistence.Store, key string, want []byte) {
	t.Helper()
	o, err := s.Get(t.Context(), key)
	must(t, err)
	if !bytes.Equal(o.Value, want) {
		t.Fatalf("%s: read %d bytes %.60q, want %d bytes %.60q", key, len(o.Value), o.Value, len(want), want)
	}
}

func wantNames(t *testing.T, s persistence.Store, folder string, want ...string) {
	t.Helper()
	got, err := s.List(t.Context(), folder)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Fatalf("list %q: %q, want %q", folder, got, want)
	}
}

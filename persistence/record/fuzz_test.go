package record_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// seeds are one record of each kind, whole, torn and from another time, and
// bodies for each of which a whole record is made.
func seeds(f *testing.F) {
	for _, data := range [][]byte{
		seal(f, record.KindHeartbeat, heartbeatOf("c", "a")),
		seal(f, record.KindInventory, record.Inventory{Cluster: "c", Node: "a", Complete: true}),
		seal(f, record.KindRequest, record.Request{Cluster: "c", ID: "r", Action: record.ActJoin, Join: &record.Join{}}),
		seal(f, "x", small), seal(f, "x", large),
	} {
		f.Add(data, false)
		f.Add(data[:len(data)/2], false)
		f.Add(bytes.Replace(data, []byte(`"format":1`), []byte(`"format":2`), 1), false)
	}
	f.Add([]byte(nil), false)
	f.Add([]byte(`{"format":1,"kind":"x","sum":"","packed":2}`+"\nab."), false)
	for _, body := range []string{
		`null`, `[]`, `{"cluster":"c","node":"a","incarnation":"i","seq":1,"timings":{"interval":-1},"wall":"2026-01-02T03:04:05Z"}`,
		`{"cluster":"c","node":"a","vms":[{"name":"v","state":"stopped"}],"datasets":[{"vm":"v","snapshots":[{"guid":"g"}]}]}`,
		`{"cluster":"c","id":"r","join":{"priority":-1},"timings":null,"heartbeat":18446744073709551615}`,
		`{"Cluster":"c","cluster":"d","node":"a","NODE":"b"}`, `{"cluster":"c","node":"a","incarnation":"i","seq":1e1}`,
	} {
		f.Add([]byte(body), true)
	}
}

// asBody makes a whole record of a body, so that what stands behind the checksum
// is reached; what is no JSON, which nothing can be made of, stays as it is.
func asBody(kind string, data []byte, wrap bool) []byte {
	if wrap {
		if whole, err := record.Seal(kind, json.RawMessage(data)); err == nil {
			return whole
		}
	}
	return data
}

// opened checks what every opener promises: a refusal of the three, or a record.
func opened(t *testing.T, there bool, err error) {
	t.Helper()
	if err != nil && !refused(err) {
		t.Errorf("neither torn, foreign nor newer: %v", err)
	}
	if there != (err == nil) {
		t.Errorf("a record: %t, and the error %v", there, err)
	}
}

// kept: a record that was read can be written, and is the same when it is read
// again.
func kept[R any](t *testing.T, kind string, r *R, open func(data []byte) (*R, error)) {
	t.Helper()
	data, err := record.Seal(kind, r)
	if err != nil {
		t.Fatalf("it is read and cannot be written: %v", err)
	}
	again, err := open(data)
	if err != nil {
		t.Fatalf("it is read, and not once it was written again: %v", err)
	}
	if d := cmp.Diff(r, again, cmp.Comparer(alike[record.Inventory])); d != "" {
		t.Errorf("it changes by being written: %s", d)
	}
}

// alike: an empty list and none are the same, as their records are.
func alike[T any](a, b T) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func FuzzOpen(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, wrap bool) {
		var v any
		err := record.Open("x", asBody("x", data, wrap), &v)
		opened(t, err == nil, err)
	})
}

func FuzzOpenHeartbeat(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, wrap bool) {
		open := func(data []byte) (*record.Heartbeat, error) { return record.OpenHeartbeat("c", "a", data) }
		hb, err := open(asBody(record.KindHeartbeat, data, wrap))
		opened(t, hb != nil, err)
		if hb == nil {
			return
		}
		if hb.Cluster != "c" || hb.Node != "a" || hb.Incarnation == "" || hb.Seq == 0 {
			t.Errorf("another's heartbeat: %+v", hb)
		}
		kept(t, record.KindHeartbeat, hb, open)
	})
}

func FuzzOpenInventory(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, wrap bool) {
		open := func(data []byte) (*record.Inventory, error) { return record.OpenInventory("c", "a", data) }
		inv, err := open(asBody(record.KindInventory, data, wrap))
		opened(t, inv != nil, err)
		if inv == nil {
			return
		}
		if inv.Cluster != "c" || inv.Node != "a" {
			t.Errorf("another's inventory: %+v", inv)
		}
		for _, vm := range inv.Stopped(inv.Incarnation) {
			if !inv.Complete || inv.VM(vm.Name) == nil {
				t.Errorf("%q is stopped by %+v", vm.Name, inv)
			}
		}
		kept(t, record.KindInventory, inv, open)
	})
}

func FuzzOpenRequest(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte, wrap bool) {
		open := func(data []byte) (*record.Request, error) { return record.OpenRequest("c", "r", data) }
		r, err := open(asBody(record.KindRequest, data, wrap))
		opened(t, r != nil, err)
		if r == nil {
			return
		}
		if r.Cluster != "c" || r.ID != "r" {
			t.Errorf("another request: %+v", r)
		}
		kept(t, record.KindRequest, r, open)
	})
}

// FuzzOpenPacked opens a record of any compressed bytes under a head that fits
// them: the right checksum where they unfold at all. What is read is what they
// unfold to.
func FuzzOpenPacked(f *testing.F) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	const most = 1 << 20 // larger ones would only take time
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(most))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(unpack.Close)
	for _, body := range []string{`{"id":"c"}`, `null`, `"x`, "", `[` + string(bytes.Repeat([]byte("1,"), 500)) + `1]`} {
		packed := pack.EncodeAll([]byte(body), nil)
		f.Add(packed, 0)
		f.Add(packed, 1)
		f.Add(packed[:len(packed)/2], 0)
		f.Add(append(bytes.Clone(packed), packed...), 0)
	}
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0x10, 0, 0, 0, 0, 1, 0, 0}, 0) // says that it is large
	f.Fuzz(func(t *testing.T, packed []byte, off int) {
		body, bad := unpack.DecodeAll(packed, nil)
		if errors.Is(bad, zstd.ErrDecoderSizeExceeded) || errors.Is(bad, zstd.ErrWindowSizeExceeded) {
			return
		}
		length := len(packed) + off%3
		data := fmt.Appendf(nil, `{"format":1,"kind":"x","sum":"%x","packed":%d}`+"\n", sha256.Sum256(body), length)
		data = append(append(data, packed...), '.')
		var v, want any
		err := record.Open("x", data, &v)
		opened(t, err == nil, err)
		// Without a length a record is not compressed, and here has no body then.
		whole := bad == nil && length == len(packed) && length > 0 && json.Unmarshal(body, &want) == nil
		if d := cmp.Diff(want, v); whole != (err == nil) || (whole && d != "") {
			t.Errorf("it unfolds to %.80q (%v), and is opened with %v: %s", body, bad, err, d)
		}
	})
}

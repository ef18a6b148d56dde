package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// kind of the records that the suite seals.
const kind = "storetest"

type body struct {
	N    int    `json:"n"`
	Fill string `json:"fill"`
}

// sealed makes a record of exactly size bytes, of which n is told again.
func sealed(t *testing.T, n, size int) []byte {
	t.Helper()
	empty, err := record.Seal(kind, body{N: n})
	must(t, err)
	if size < len(empty) {
		t.Fatalf("no record is %d bytes long", size)
	}
	data, err := record.Seal(kind, body{N: n, Fill: fill(n, size-len(empty))})
	must(t, err)
	if len(data) != size {
		t.Fatalf("record of %d bytes instead of %d", len(data), size)
	}
	return data
}

func fill(n, length int) string {
	return string(bytes.Repeat([]byte{byte('a' + n%26)}, length))
}

// random makes a binary value that a store must take.
func random(r *rand.Rand, size int) []byte {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(r.Uint32())
	}
	value[size-1] |= 0x80 // neither white space nor NUL
	return value
}

func testBytes(t *testing.T, open Opener) {
	a, b := open(t), open(t)
	r := rand.New(rand.NewPCG(1, 2))
	sizes := []int{1, 2, 511, 512, 513, 4094, 4095, 4096, 4097, 8191, 8192, 65537, 1 << 20}
	for i, size := range sizes {
		value := random(r, size)
		made, put := fmt.Sprintf("made/%d", size), fmt.Sprintf("put/%d", i)
		must(t, a.Create(t.Context(), made, value))
		must(t, a.Put(t.Context(), put, value))
		wantValue(t, b, made, value)
		wantValue(t, b, put, value)
	}
	for i, value := range []string{" a", "\n\n\n.", "\x00\x00\x01", "a\n  \nb", "\xff\xfe", "{}\n\x28\xb5\x2f\xfd ."} {
		key := fmt.Sprintf("odd/%d", i)
		must(t, a.Create(t.Context(), key, []byte(value)))
		wantValue(t, b, key, []byte(value))
		must(t, a.Put(t.Context(), key, []byte(value)))
		wantValue(t, b, key, []byte(value))
	}
	// Large records are compressed: binary, after a first line of text.
	var noise []string
	for range 4000 {
		noise = append(noise, fmt.Sprint(r.Uint64()))
	}
	packed, err := record.Seal(kind, noise)
	must(t, err)
	must(t, a.Create(t.Context(), "packed", packed))
	o, err := b.Get(t.Context(), "packed")
	must(t, err)
	var back []string
	must(t, record.Open(kind, o.Value, &back))
	if !slices.Equal(back, noise) {
		t.Error("a compressed record came back changed")
	}
}

// testAlternating changes one key's size to and fro over the size of a block,
// where a backend may change its way of writing.
func testAlternating(t *testing.T, open Opener) {
	a, b := open(t), open(t)
	sizes := []int{4095, 4096, 4097, 4095, 4097, 4096, 4095, 200, 4096, 200, 8000, 201, 4095, 7000, 4096, 4096, 4095, 199}
	for n, size := range sizes {
		s := a
		if n%3 == 0 {
			s = b
		}
		value := sealed(t, n, size)
		must(t, s.Put(t.Context(), "members/n.json", value))
		wantValue(t, a, "members/n.json", value)
		wantValue(t, b, "members/n.json", value)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{1 << 20, 1, 4096, 1 << 16, 4095, 2, 4097, 1} {
		value := random(r, size)
		must(t, a.Put(t.Context(), "inventory/n.json", value))
		wantValue(t, b, "inventory/n.json", value)
	}
	// What Create made is put over by either way.
	for _, size := range []int{4095, 4096, 4097} {
		key := fmt.Sprintf("made/%d", size)
		must(t, a.Create(t.Context(), key, sealed(t, 1, size)))
		for n, over := range []int{300, 4096, 4095, 301, 4097, 300} {
			value := sealed(t, n, over)
			must(t, b.Put(t.Context(), key, value))
			wantValue(t, a, key, value)
		}
	}
}

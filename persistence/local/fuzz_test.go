package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// fuzzHost has no hardware id, so that the memory has to hold one.
var fuzzHost = Host{Boot: "boot"}

// put writes a file of a fuzzed memory; one without data is not there.
func put(t *testing.T, b Backend, name string, data []byte) {
	t.Helper()
	if data != nil {
		must(t, b.Write(name, data))
	}
}

// holds says what the backend keeps under the name; nil is no file.
func holds(t *testing.T, b Backend, name string) []byte {
	t.Helper()
	data, err := b.Read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return data
}

// files of a memory that is whole.
func wholeFiles(f *testing.F) (memory, key []byte) {
	b := Map()
	m, err := NewOn(b, fuzzHost)
	for _, set := range []func() error{
		func() error { return m.SetCluster("c", "file:///p") },
		func() error { return m.SetTail(7, "h7") },
		func() error { return m.Issued("vm1", 4) },
		func() error { return m.CloseGeneration("vm2", 5) },
	} {
		if err == nil {
			err = set()
		}
	}
	if err != nil {
		f.Fatal(err)
	}
	memory, _ = b.Read(memoryFile)
	key, _ = b.Read(keyFile)
	return memory, key
}

// FuzzMemory opens what lies in the place of a memory, with a key beside it or
// none: the bytes as they are, or as the body of a whole record. What is spoiled
// is refused and stays as it is, for whoever mends it; what is whole is
// remembered to the last generation.
func FuzzMemory(f *testing.F) {
	whole, key := wholeFiles(f)
	f.Add(whole, false, true)
	f.Add(whole, false, false)
	f.Add(whole[:len(whole)/2], false, true)
	f.Add([]byte{}, false, true)
	f.Add(bytes.Replace(whole, []byte(`"format":1`), []byte(`"format":2`), 1), false, true)
	f.Add([]byte(`{}`), true, false)
	f.Add([]byte(`null`), true, true)
	f.Add([]byte(`{"fingerprint":"another","machine":"m","closed":{"v":9}}`), true, true)
	f.Add([]byte(`{"closed":null,"issued":{"v":18446744073709551615},"running":{"":0},"enrolled":["b","a",""]}`), true, true)
	f.Fuzz(func(t *testing.T, data []byte, seal, keyThere bool) {
		if seal {
			var err error
			if data, err = record.Seal(kind, json.RawMessage(data)); err != nil {
				t.Skip() // no JSON, which nothing can be made of
			}
		}
		b := Map()
		must(t, b.Write(memoryFile, data))
		if keyThere {
			put(t, b, keyFile, key)
		}
		var knew state
		spoiled := record.Open(kind, data, &knew)
		m, err := NewOn(b, fuzzHost)
		if spoiled != nil {
			refusedMemory(t, b, data, err)
			if had := holds(t, b, keyFile) != nil; had != keyThere {
				t.Errorf("a key was there: %t, and is after the refusal: %t", keyThere, had)
			}
			return
		}
		remembers(t, b, knew)
		if err == nil {
			goesOn(t, b, m)
		}
	})
}

// refusedMemory: the file is named, and nobody has begun anew over it.
func refusedMemory(t *testing.T, b Backend, data []byte, err error) {
	t.Helper()
	if !errors.Is(err, record.ErrTorn) && !errors.Is(err, record.ErrForeign) && !errors.Is(err, record.ErrNewer) {
		t.Errorf("a spoiled memory is opened, or refused without its reason: %v", err)
	}
	if !bytes.Equal(holds(t, b, memoryFile), data) {
		t.Error("a spoiled memory was written over")
	}
}

// remembers: whether it was opened or not, the disk holds what it held.
func remembers(t *testing.T, b Backend, knew state) {
	t.Helper()
	var now state
	must(t, record.Open(kind, holds(t, b, memoryFile), &now))
	// These two are made where they were not.
	if knew.Machine == "" {
		now.Machine = ""
	}
	if knew.Fingerprint == "" {
		now.Fingerprint = ""
	}
	if d := cmp.Diff(knew.clone(), now.clone()); d != "" {
		t.Errorf("opening it changed what it knew: %s", d)
	}
}

// goesOn: a memory that was opened can be used, and opened again.
func goesOn(t *testing.T, b Backend, m *Memory) {
	t.Helper()
	before := m.now.Load().clone()
	must(t, m.Issued("new", 1))
	must(t, m.CloseGeneration("new", 1))
	for vm, g := range before.Closed {
		must(t, m.CloseGeneration(vm, g-min(g, 1)))
	}
	for vm, g := range before.Issued {
		must(t, m.Issued(vm, g-min(g, 1)))
	}
	again := openOn(t, b, fuzzHost)
	for vm, g := range before.Closed {
		if again.Closed(vm) < g {
			t.Errorf("generation %d of %q was closed, now %d is", g, vm, again.Closed(vm))
		}
	}
	for vm, g := range before.Issued {
		if again.Unresolved()[vm] < g {
			t.Errorf("the start of %q under %d is forgotten: %v", vm, g, again.Unresolved())
		}
	}
	if again.Identity() != m.Identity() || again.Identity().Machine == "" || again.Incarnation() != before.Incarnation {
		t.Errorf("%+v of %q is %+v of %q when it is opened again", m.Identity(), before.Incarnation, again.Identity(), again.Incarnation())
	}
}

// FuzzKeyFile opens a memory beside any key: a bad or another one is refused
// and never replaced, for it is what the cluster knows the node by.
func FuzzKeyFile(f *testing.F) {
	whole, key := wholeFiles(f)
	f.Add(key)
	f.Add(key[:len(key)/2])
	f.Add([]byte{})
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Add(append([]byte("a line before\n"), key...))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, memory := range [][]byte{whole, nil} {
			b := Map()
			put(t, b, memoryFile, memory)
			must(t, b.Write(keyFile, data))
			m, err := NewOn(b, fuzzHost)
			if !bytes.Equal(holds(t, b, keyFile), data) {
				t.Fatal("a key was written over")
			}
			if memory == nil && err == nil {
				t.Error("a key without its memory is opened")
			}
			if err == nil && fingerprint(m.Key()) != m.Identity().Fingerprint {
				t.Errorf("the key is %s, the identity %s", fingerprint(m.Key()), m.Identity().Fingerprint)
			}
		}
	})
}

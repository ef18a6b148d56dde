package vm

import (
	"bytes"
	"testing"
)

// FuzzParseDisk: a counter is read only from a slot that was written for it, and
// another one damaged beside it does not hide it.
func FuzzParseDisk(f *testing.F) {
	whole := diskImage("v", 7)
	f.Add(whole)
	f.Add(append(slot("v", 8), slot("v", 7)...))
	f.Add(append(slot("w", 8), slot("v", 7)...))
	f.Add(whole[:slotSize])
	f.Add(bytes.Replace(whole, []byte("7"), []byte("8"), 1))
	f.Add(append(bytes.Repeat([]byte{0}, slotSize), slot("v", 1<<64-1)...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseDisk("v", data)
		if err != nil {
			if n != 0 {
				t.Errorf("counter %d, and the error %v", n, err)
			}
		} else if s := slot("v", n); len(data) != diskSize || (!bytes.HasPrefix(data, s) && !bytes.HasSuffix(data, s)) {
			t.Errorf("counter %d is read from %q", n, data)
		}
		for at := range 2 {
			beside := diskImage("v", 9)
			copy(beside[at*slotSize:(at+1)*slotSize], data)
			if n, err := parseDisk("v", beside); err != nil || n < 9 {
				t.Errorf("beside %q counter 9 is read as %d, %v", data, n, err)
			}
		}
	})
}

package ledger

import (
	"path"
	"testing"
)

// FuzzSeqOf: the names of entries are those that Key gives and no others, so
// that a number is never read from a name that Key does not lead back to.
func FuzzSeqOf(f *testing.F) {
	for _, name := range []string{
		"00000000000000000001.json", "18446744073709551615.json", "18446744073709551616.json", "00000000000000000000.json",
		"1.json", "+0000000000000000001.json", "0000000000000000000_1.json", "00000000000000000001.json.json", ".json", "",
		"\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661.json",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		seq, ok := seqOf(name)
		if ok && (seq == 0 || path.Base(Key(seq)) != name) {
			t.Errorf("%q is taken for entry %d, which is %q", name, seq, path.Base(Key(seq)))
		}
	})
}

// FuzzKey: each number is found by its own name, in its own folder; those that
// leave a repair no room to leap are no numbers.
func FuzzKey(f *testing.F) {
	for _, seq := range []uint64{1, 999, 1000, 1<<62 - 1, 1 << 62, 1<<64 - 1} {
		f.Add(seq)
	}
	f.Fuzz(func(t *testing.T, seq uint64) {
		back, ok := seqOf(path.Base(Key(seq)))
		if valid := seq > 0 && seq < 1<<62; ok != valid || (ok && back != seq) {
			t.Errorf("entry %d lies at %s, which is read as %d, %v", seq, Key(seq), back, ok)
		}
	})
}

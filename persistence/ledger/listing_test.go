package ledger_test

import (
	"path"
	"slices"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
)

// FuzzListing puts any name among the folders of entries. What has no entry's
// name is not there for the ledger: it ends where it did, and lists what it did.
func FuzzListing(f *testing.F) {
	for _, at := range [][2]string{
		{"0", "00000000000000000003.json"},
		{"7", "notes.txt"},
		{"x", "00000000000000000009.json"},
		{"8", "00000000000000000000.json"},
		{"0", "99999999999999999999.json"},
		{"0", "00000000000000000003.json.json"},
		{"18446744073709551616", "00000000000000000009.json"},
		{"+0", "+0000000000000000009.json"},
		{"18446744073709551", "18446744073709551615.json"},
		{"0", "..."},
		{"-1", "00000000000000000001.json"},
	} {
		f.Add(at[0], at[1])
	}
	f.Fuzz(func(t *testing.T, folder, name string) {
		raw := memory.New()
		key := path.Join(ledger.Folder, folder, name)
		if raw.Put(t.Context(), ledger.Key(1), []byte("x")) != nil || raw.Put(t.Context(), key, []byte("x")) != nil {
			t.Skip() // no store has such a name
		}
		last, err := ledger.Last(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		var listed []uint64
		for seq, err := range ledger.Numbers(t.Context(), raw, 0) {
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, seq)
		}
		if last == 0 || !slices.Contains(listed, 1) || last != slices.Max(listed) {
			t.Errorf("with %s the ledger ends at %d and has the numbers %v", key, last, listed)
		}
		for _, seq := range listed {
			// Only the name counts, not the folder: one that lies in another's is
			// listed as well.
			if seq != 1 && path.Base(ledger.Key(seq)) != name {
				t.Errorf("%s is taken for entry %d", key, seq)
			}
		}
	})
}

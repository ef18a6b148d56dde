package transfer

import (
	"archive/zip"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// exported is an export of a store, unpacked.
func exported(t *testing.T, s persistence.Store) *Package {
	t.Helper()
	var b bytes.Buffer
	_, err := Export(t.Context(), s, Manifest{Store: "/here", Time: time.Now()}, &b)
	must(t, err)
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	back, err := Unpack(z)
	must(t, err)
	return back
}

// allStopped is an operator's word.
var allStopped = Word{AllStopped: true, Members: []string{"a", "b"}}

// TestImport: of a cluster that went on after the export, as the last heartbeats in it
// tell, nobody finds less than it remembers.
func TestImport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		o.beat(t, "a", 1, func(hb *record.Heartbeat) { hb.Epoch = 7 })
		must(t, o.Put(t.Context(), "requests/x.json", []byte("asked for")))
		w, p := o.way(t, to), exported(t, o)
		was := tail(t, o.Store)
		o.decide(t, func(e *ledger.Entry) { e.Epoch, e.State.Frozen = 5, false })
		known := o.led.Tail().Mark()

		wantsRefusal(t, bring(t, w, p, Word{}), "--all-stopped")
		wantsRefusal(t, bring(t, w, p, Word{AllStopped: true, Members: []string{"a", "d"}}), "does not name b")
		if left := keys(t, to); len(left) > 0 {
			t.Errorf("%q was written", left)
		}
		// d has joined since, and may run what the export gives another.
		must(t, bring(t, w, p, Word{AllStopped: true, Members: []string{"a", "b", "d"}}))
		is := tail(t, to.Store)
		if is.Kind != ledger.KindRepair || is.PrevSeq != was.Seq || is.Seq <= known.Seq || is.Epoch <= 7 {
			t.Errorf("%+v", is.Entry)
		}
		if s := is.State; s.Armed || s.Master != "" || s.Members["a"].Admitted != "" || !s.Repair["a"] || !s.Repair["b"] || !s.Repair["d"] || s.VMs["vm1"].Generation <= 3 {
			t.Errorf("%+v", s)
		}
		// A member that has read more than the export holds follows nonetheless.
		l := ledger.New(to, cluster)
		must(t, l.Load(t.Context(), known))
		want := []string{"cluster.json", ledger.Key(1), ledger.Key(2), ledger.Key(3), ledger.Key(is.Seq)}
		if got := keys(t, to); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		wantsRefusal(t, bring(t, w, p, allStopped), "is not empty")
	})
}

// TestImportOfAMovedStore: an export of a store that the cluster has moved from is one
// of a lost store like any other.
func TestImportOfAMovedStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOld(t)
		must(t, move(t, o.way(t, newPlace())))
		to := newPlace()
		wantsRefusal(t, bring(t, o.way(t, to), exported(t, o), Word{}), "--all-stopped")
		must(t, bring(t, o.way(t, to), exported(t, o), allStopped))
		if s := tail(t, to.Store).State; s.Closed || s.MovedTo != "" || s.Armed {
			t.Errorf("%+v", s)
		}
	})
}

// TestImportGoesOn: whatever write fails, running it again ends the import.
func TestImportGoesOn(t *testing.T) {
	errFull := errors.New("no space left on device")
	for n := 1; ; n++ {
		failed := false
		bubble(t, func(t *testing.T) {
			o, to, count := newOld(t), newPlace(), 0
			to.create = func(string) error {
				if count++; count < n {
					return nil
				}
				failed = true
				return errFull
			}
			p := exported(t, o)
			if err := bring(t, o.way(t, to), p, allStopped); (err == nil) == failed {
				t.Fatalf("write %d fails: %v", n, err)
			}
			if !failed {
				return
			}
			to.create = nil
			must(t, bring(t, o.way(t, to), p, allStopped))
			if e := tail(t, to.Store); e.Kind != ledger.KindRepair {
				t.Errorf("%+v", e.Entry)
			}
		})
		if !failed {
			return
		}
	}
}

func TestImportOfADamagedExport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		o.decide(t, func(*ledger.Entry) {})
		must(t, o.Put(t.Context(), ledger.Key(4), []byte(`{"torn`)))
		w, p := o.way(t, to), exported(t, o)
		wantsRefusal(t, bring(t, w, p, allStopped), "the export is damaged")
		damaged := allStopped
		damaged.Damaged = true
		must(t, bring(t, w, p, damaged))
		if e := tail(t, to.Store); e.PrevSeq != 3 || !slices.Equal(e.Aside, []string{ledger.Key(4)}) {
			t.Errorf("%+v", e.Entry)
		}

		// The end of the ledger is missing, as the manifest tells.
		p = exported(t, o)
		must(t, p.Store.Delete(t.Context(), ledger.Key(4)))
		wantsRefusal(t, bring(t, o.way(t, newPlace()), p, allStopped), "the export is damaged")

		must(t, o.Delete(t.Context(), "cluster.json"))
		if err := bring(t, o.way(t, newPlace()), exported(t, o), damaged); !errors.Is(err, node.ErrCluster) {
			t.Errorf("%v", err)
		}
	})
}

func TestUnpackRefuses(t *testing.T) {
	for name, size := range map[string]int{"../cluster.json": 1, "/x": 1, "a//b": 1, "x": 1, ManifestName: 1} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create(name)
		must(t, err)
		_, err = w.Write(bytes.Repeat([]byte("x"), size))
		must(t, err)
		must(t, z.Close())
		r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		must(t, err)
		if _, err := Unpack(r); err == nil || !strings.Contains(err.Error(), "no export") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnpackKeepsWhatItCan: a torn record is told, and stands in nobody's way.
func TestUnpackKeepsWhatItCan(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, value := range map[string]string{
		"members/a.json": "", "members/b.json": "whole", "big": strings.Repeat("x", persistence.MaxValue+1), ManifestName: `{"time":"2026-01-02T03:04:05Z"}`,
	} {
		w, err := z.Create(name)
		must(t, err)
		_, err = w.Write([]byte(value))
		must(t, err)
	}
	must(t, z.Close())
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	p, err := Unpack(r)
	must(t, err)
	if got := keys(t, p.Store); len(p.Problems) != 2 || !slices.Equal(got, []string{"members/b.json"}) {
		t.Errorf("%q, %q", got, p.Problems)
	}
}

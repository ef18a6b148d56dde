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
func exported(t *testing.T, s persistence.Store) persistence.Store {
	t.Helper()
	var b bytes.Buffer
	m, err := Export(t.Context(), s, Manifest{Store: "/here", Time: time.Now()}, &b)
	must(t, err)
	if len(m.Problems) > 0 {
		t.Fatal(m.Problems)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	back, err := Unpack(z)
	must(t, err)
	return back
}

// TestImport: of a cluster that went on after the export, as the last heartbeats in it
// tell, nobody finds less than it remembers.
func TestImport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		o.beat(t, "a", 1, func(hb *record.Heartbeat) { hb.Epoch = 7 })
		must(t, o.Put(t.Context(), "requests/x.json", []byte("asked for")))
		w := o.way(t, to)
		w.From = exported(t, o)
		was := tail(t, o.Store)
		o.decide(t, func(e *ledger.Entry) { e.Epoch, e.State.Frozen = 5, false })
		known := o.led.Tail().Mark()

		wantsRefusal(t, Import(t.Context(), w, false), "--all-stopped")
		if left := keys(t, to); len(left) > 0 {
			t.Errorf("%q was written", left)
		}
		must(t, Import(t.Context(), w, true))
		is := tail(t, to.Store)
		if is.Kind != ledger.KindRepair || is.PrevSeq != was.Seq || is.Seq <= known.Seq || is.Epoch <= 7 {
			t.Errorf("%+v", is.Entry)
		}
		if s := is.State; s.Armed || s.Master != "" || s.Members["a"].Admitted != "" || !s.Repair["a"] || !s.Repair["b"] || s.VMs["vm1"].Generation <= 3 {
			t.Errorf("%+v", s)
		}
		// A member that has read more than the export holds follows nonetheless.
		l := ledger.New(to, cluster)
		must(t, l.Load(t.Context(), known))
		want := []string{"cluster.json", ledger.Key(1), ledger.Key(2), ledger.Key(3), ledger.Key(is.Seq)}
		if got := keys(t, to); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		wantsRefusal(t, Import(t.Context(), w, true), "is not empty")
	})
}

// TestImportOfAMove: an export of a store that was closed for this very address opens
// it like the move that it is; one that was closed for another is a lost store.
func TestImportOfAMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOld(t)
		must(t, Move(t.Context(), o.way(t, newPlace())))
		w, to := o.way(t, nil), newPlace()
		w.From, w.To = exported(t, o), to
		must(t, Import(t.Context(), w, false))
		wantsMoved(t, o, to)

		elsewhere := newPlace()
		w.To, w.Address = elsewhere, "/elsewhere"
		wantsRefusal(t, Import(t.Context(), w, false), "--all-stopped")
		must(t, Import(t.Context(), w, true))
		if s := tail(t, elsewhere).State; s.Closed || s.MovedTo != "" || s.Armed {
			t.Errorf("%+v", s)
		}
	})
}

func TestImportOfADamagedExport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		o.decide(t, func(*ledger.Entry) {})
		must(t, o.Put(t.Context(), ledger.Key(4), []byte(`{"torn`)))
		w := o.way(t, to)
		w.From = exported(t, o)
		must(t, Import(t.Context(), w, true))
		if e := tail(t, to.Store); e.PrevSeq != 3 || !slices.Equal(e.Aside, []string{ledger.Key(4)}) {
			t.Errorf("%+v", e.Entry)
		}

		must(t, o.Delete(t.Context(), "cluster.json"))
		w.From, w.To = exported(t, o), newPlace()
		if err := Import(t.Context(), w, true); !errors.Is(err, node.ErrCluster) {
			t.Errorf("%v", err)
		}
	})
}

func TestUnpackRefuses(t *testing.T) {
	for name, size := range map[string]int{"../cluster.json": 1, "/x": 1, "a//b": 1, "big": persistence.MaxValue + 1, "empty": 0} {
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

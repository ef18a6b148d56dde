package ledger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// only is a store that gives the same bytes for every key.
type only struct {
	persistence.Store
	data []byte
}

func (s only) Get(context.Context, string) (persistence.Object, error) {
	return persistence.Object{Value: bytes.Clone(s.data)}, nil
}

// fuzzedSeq is the number in whose place the fuzzed entry lies: the second.
const fuzzedSeq = 2

// FuzzEntry reads what lies in an entry's place: the bytes as they are, or, so
// that what stands behind the checksum is reached, as the body of a whole record.
func FuzzEntry(f *testing.F) {
	whole := &ledger.Entry{
		Cluster: cluster, Seq: fuzzedSeq, PrevSeq: 1, Prev: "hash", ID: "id", Kind: ledger.KindDecide, Epoch: 3, Node: "a",
		Time: time.Unix(1e9, 0).UTC(), Touched: []string{"vm:v"}, State: stateOf("a", "b"),
	}
	whole.State.VMs = map[string]ledger.VM{"v": {Owner: "a", Generation: 4, Disk: true}}
	whole.State.Failovers = map[string]ledger.Failover{"b": {Node: "b", Moves: map[string]ledger.Move{"v": {To: "a"}}}}
	sealed, err := record.Seal(record.KindEntry, whole)
	if err != nil {
		f.Fatal(err)
	}
	body, err := json.Marshal(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, false)
	f.Add(sealed[:len(sealed)-1], false)
	// One that is compressed, whole and spoiled.
	large := *whole
	large.State = stateOf("a", "b")
	large.State.VMs = map[string]ledger.VM{}
	for i := range 400 {
		large.State.VMs[fmt.Sprintf("vm%d", i)] = ledger.VM{Owner: "a", Generation: uint64(i)}
	}
	packed, err := record.Seal(record.KindEntry, large)
	if err != nil || !bytes.Contains(packed, []byte("\n")) {
		f.Fatalf("it is not compressed: %.200q, %v", packed, err)
	}
	f.Add(packed, false)
	f.Add(packed[:len(packed)-1], false)
	f.Add(append(bytes.Clone(packed[:len(packed)-9]), "12345678."...), false)
	f.Add(append(bytes.Clone(sealed), "\nmore"...), false)
	f.Add(body, true)
	f.Add([]byte(`null`), true)
	f.Add([]byte(`{"seq":2,"prev_seq":1,"id":"i","node":"a","cluster":"c","state":{"members":{},"failovers":{"a":{"moves":null}}}}`), true)
	f.Add([]byte(`{"seq":2,"prev_seq":0,"id":"i","kind":"repair","node":"a","cluster":"c","aside":["x"],"state":{"members":{},"repair_seq":2}}`), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			if data, err = record.Seal(record.KindEntry, json.RawMessage(data)); err != nil {
				t.Skip() // no JSON, which nothing can be made of
			}
		}
		e, err := ledger.Read(t.Context(), only{data: data}, cluster, fuzzedSeq)
		if err != nil {
			refusedEntry(t, e, err)
			return
		}
		acceptedEntry(t, e, data)
	})
}

// refusedEntry: whoever meets a bad entry is told which and why, so that it is
// taken for damage and not for silence or for the end of the ledger.
func refusedEntry(t *testing.T, e ledger.Stored, err error) {
	t.Helper()
	h, ok := errors.AsType[*ledger.HistoryError](err)
	if !ok || h.Key != ledger.Key(fuzzedSeq) || e.Entry != nil {
		t.Errorf("an entry %v, and the error %v", e.Entry, err)
	}
	if !errors.Is(err, record.ErrTorn) && !errors.Is(err, record.ErrForeign) && !errors.Is(err, record.ErrNewer) {
		t.Errorf("neither torn, foreign nor newer: %v", err)
	}
}

// acceptedEntry: it is of this cluster and in its place, and it can be carried
// on, by the next entry as by a repair, without loss.
func acceptedEntry(t *testing.T, e ledger.Stored, data []byte) {
	t.Helper()
	if e.Seq != fuzzedSeq || e.Cluster != cluster || e.ID == "" || e.Node == "" || e.State.Members == nil ||
		e.PrevSeq >= e.Seq || e.Hash != record.Hash(data) {
		t.Fatalf("accepted: %+v", e.Entry)
	}
	again, err := record.Seal(record.KindEntry, e.Entry)
	if err != nil {
		t.Fatalf("it is read and cannot be written: %v", err)
	}
	back, err := ledger.Read(t.Context(), only{data: again}, cluster, fuzzedSeq)
	if err != nil {
		t.Fatalf("it is read, and not once it was written again: %v", err)
	}
	if d := cmp.Diff(e.State.Clone(), back.State.Clone(), cmp.Comparer(sameEncoding[ledger.State])); d != "" {
		t.Errorf("its state changes by being written: %s", d)
	}
	if touched := ledger.Touched(&e.State, e.State.Clone()); len(touched) > 0 {
		t.Errorf("a copy of the state touches %v", touched)
	}
	carriedOn(t, data)
}

// sameEncoding: an empty map and none are the same, as their records are.
func sameEncoding[T any](a, b T) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// carriedOn puts the entry into a ledger after the founding one, where its
// link to that does not fit, and repairs.
func carriedOn(t *testing.T, data []byte) {
	t.Helper()
	if persistence.CheckValue(data) != nil {
		return // no store would give it back
	}
	raw := founded(t)
	if err := raw.Put(t.Context(), ledger.Key(fuzzedSeq), data); err != nil {
		t.Fatal(err)
	}
	survey, err := ledger.Walk(t.Context(), raw, cluster)
	if err != nil || survey.Entries != 2 || survey.Last != fuzzedSeq || survey.End.Entry == nil {
		t.Fatalf("the survey is %+v: %v", survey, err)
	}
	repair := survey.Repair(survey.End, ledger.Evidence{})
	repair.Node = "operator"
	if repair.Seq <= fuzzedSeq || repair.State.Armed || repair.State.Master != "" {
		t.Errorf("the repair is %+v", repair)
	}
	for name, v := range survey.End.State.VMs {
		if g := repair.State.VMs[name].Generation; g <= v.Generation && v.Generation < 1<<63 {
			t.Errorf("the repair takes %s from generation %d to %d", name, v.Generation, g)
		}
	}
	plant(t, raw, ledger.Key(repair.Seq), repair)
	if err := ledger.New(raw, cluster).Load(t.Context(), ledger.Mark{}); err != nil {
		t.Errorf("a repaired ledger does not load: %v", err)
	}
}

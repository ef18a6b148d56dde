package record_test

import (
	"bytes"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// seeds are one record of each kind, whole, torn and from another time.
func seeds(f *testing.F) {
	for _, data := range [][]byte{
		seal(f, record.KindHeartbeat, heartbeatOf("c", "a")),
		seal(f, record.KindInventory, record.Inventory{Cluster: "c", Node: "a", Complete: true}),
		seal(f, record.KindRequest, record.Request{Cluster: "c", ID: "r", Action: record.ActJoin, Join: &record.Join{}}),
		seal(f, "x", small), seal(f, "x", large),
	} {
		f.Add(data)
		f.Add(data[:len(data)/2])
		f.Add(bytes.Replace(data, []byte(`"format":1`), []byte(`"format":2`), 1))
	}
	f.Add([]byte(nil))
	f.Add([]byte(`{"format":1,"kind":"x","sum":"","packed":2}` + "\nab."))
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

func FuzzOpen(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		err := record.Open("x", data, &v)
		opened(t, err == nil, err)
	})
}

func FuzzOpenHeartbeat(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		hb, err := record.OpenHeartbeat("c", "a", data)
		opened(t, hb != nil, err)
		if hb != nil && (hb.Cluster != "c" || hb.Node != "a" || hb.Incarnation == "" || hb.Seq == 0) {
			t.Errorf("another's heartbeat: %+v", hb)
		}
	})
}

func FuzzOpenInventory(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := record.OpenInventory("c", "a", data)
		opened(t, inv != nil, err)
		if inv != nil && (inv.Cluster != "c" || inv.Node != "a") {
			t.Errorf("another's inventory: %+v", inv)
		}
	})
}

func FuzzOpenRequest(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := record.OpenRequest("c", "r", data)
		opened(t, r != nil, err)
		if r != nil && (r.Cluster != "c" || r.ID != "r") {
			t.Errorf("another request: %+v", r)
		}
	})
}

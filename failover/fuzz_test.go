package failover_test

import (
	"encoding/json"
	"testing"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// sealed makes a whole record of any body, so that what stands behind the
// checksum is reached; skipped without JSON, which nothing can be made of.
func sealed(t *testing.T, kind string, body []byte) []byte {
	t.Helper()
	data, err := record.Seal(kind, json.RawMessage(body))
	if err != nil {
		t.Skip()
	}
	return data
}

// FuzzPlan plans with what another host has written, as far as its records are
// opened: its heartbeat, its inventory and a request. Whatever they say, the
// plan keeps what must be so of every plan (see scene.plan).
func FuzzPlan(f *testing.F) {
	heartbeat := `{"cluster":"c","node":"b","incarnation":"b1","seq":50,"proof":"elapsed","held":true}`
	inventory := `{"cluster":"c","node":"b","incarnation":"b1","number":1,"ledger_seq":100,"complete":true,` +
		`"vms":[{"name":"v","state":"running","generation":3}],"datasets":[{"vm":"v","snapshots":[{"guid":"s1"}]}]}`
	for i, request := range []string{
		`{"cluster":"c","id":"r","action":"join","node":"d","join":{"role":"candidate","machine":"m","key":"k"}}`,
		`{"cluster":"c","id":"r","action":"join","node":"b","join":{"role":"witness"}}`,
		`{"cluster":"c","id":"r","action":"join"}`,
		`{"cluster":"c","id":"r","action":"leave","node":"b","incarnation":"b1","leave":"move","seen":100}`,
		`{"cluster":"c","id":"r","action":"confirm-fenced","node":"b","incarnation":"b1","heartbeat":50}`,
		`{"cluster":"c","id":"r","action":"forget","node":"b","force":true}`,
		`{"cluster":"c","id":"r","action":"timings","timings":{"interval":-1}}`,
		`{"cluster":"c","id":"r","action":"promote","node":"b"}`, `{"cluster":"c","id":"r","action":"freeze"}`,
	} {
		f.Add([]byte(heartbeat), []byte(inventory), []byte(request), byte(i))
	}
	f.Add([]byte(heartbeat), []byte(`{"cluster":"c","node":"b","incarnation":"b2","complete":true,"verified_stopped":true,`+
		`"acks":[{"order":90,"incarnation":"b1","vm":"v","generation":3}],"vms":[{"name":"v"},{"name":"v"},{"name":""}]}`),
		[]byte(`{"cluster":"c","id":"r"}`), byte(20))
	f.Fuzz(func(t *testing.T, heartbeat, inventory, request []byte, dice byte) {
		hb, err := record.OpenHeartbeat("c", "b", sealed(t, record.KindHeartbeat, heartbeat))
		inv, err2 := record.OpenInventory("c", "b", sealed(t, record.KindInventory, inventory))
		r, err3 := record.OpenRequest("c", "r", sealed(t, record.KindRequest, request))
		if err != nil || err2 != nil || err3 != nil {
			t.Skip() // refused, as FuzzOpen... of package record asks for
		}
		for _, with := range []change{nil, fenced("b", "", "v"), fenced("b", "elapsed", "v")} {
			s := newScene()
			if with != nil {
				with(s)
			}
			standings := []lease.Standing{lease.Alive, lease.Stale, lease.Unseen, lease.Unreadable}
			k := lease.Node{Standing: standings[dice%4], Last: hb, Numbers: int(dice/4) % 4, Moved: dice&0x40 != 0}
			if k.Standing == lease.Unseen || k.Standing == lease.Unreadable {
				k.Last = nil
			}
			s.Nodes["b"], s.Inventories["b"] = k, inv
			s.Requests = []failover.Asked{{Request: r}}
			s.plan(t)
		}
	})
}

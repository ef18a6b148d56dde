package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// list finds a row of one of status's lists by the value of a key.
func list(t *testing.T, status map[string]any, name, key, value string) map[string]any {
	t.Helper()
	for _, row := range status[name].([]any) {
		if r := row.(map[string]any); r[key] == value {
			return r
		}
	}
	t.Fatalf("no %s %q in %v", key, value, status[name])
	return nil
}

// pick keeps some keys.
func pick(row map[string]any, keys ...string) map[string]any {
	out := map[string]any{}
	for _, k := range keys {
		v, ok := row[k]
		if !ok {
			v = "missing"
		}
		out[k] = v
	}
	return out
}

func TestStatusJSON(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		alive(c)
		wait(1200 * time.Millisecond)
		got := c.statusJSON()
		want := map[string]any{
			"cluster_id": "cluster-1", "epoch": 1.0, "ledger_seq": 2.0, "master": "a", "frozen": false, "debug": false,
			"armed": true, "closed": false, "repair": []any{}, "vms": []any{}, "failovers": []any{}, "conflicts": []any{}, "alarms": []any{},
			"nodes": []any{
				map[string]any{
					"node": "a", "state": "MASTER", "role": "candidate", "priority": 0.0, "alive": true, "lease_age_seconds": 0.2,
					"proof": "nothing", "url": "http://a/", "incarnation": "a1", "heartbeat": 2.0, "admitted": true, "fence": nil,
					"version": "1", "running": 0.0,
				},
				map[string]any{
					"node": "b", "state": "STANDBY", "role": "candidate", "priority": 0.0, "alive": true, "lease_age_seconds": 0.2,
					"proof": "nothing", "url": "http://b/", "incarnation": "b1", "heartbeat": 2.0, "admitted": true, "fence": nil,
					"version": "1", "running": 0.0,
				},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		table := c.wants(0, "cluster cluster-1: master a, epoch 1, ledger 2, armed", "status")
		if !strings.Contains(table, "STANDBY") {
			t.Error(table)
		}
	})
}

// What a node says of itself counts only while it can be believed.
func TestStates(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.entry(ledger.KindDecide, func(e *ledger.Entry) {
			for _, n := range []string{"dead", "ended", "fenced", "fencing", "new", "torn", "old-master"} {
				c.member(e, n, func(m *ledger.Member) { m.Role, m.Admitted, m.Proof = ledger.RoleWorker, n+"1", record.ProofElapsed })
			}
			c.member(e, "new", func(m *ledger.Member) { m.Admitted = "" })
			c.member(e, "fenced", func(m *ledger.Member) { m.Fence = &ledger.Fence{Why: "silent", Proof: ledger.ProvedElapsed} })
			c.member(e, "fencing", func(m *ledger.Member) { m.Fence = &ledger.Fence{Why: "silent"} })
		})
		proves := func(hb *record.Heartbeat) { hb.Proof = record.ProofElapsed }
		c.beat("dead", proves)
		c.beat("fenced", nil)
		c.beat("fencing", nil)
		c.beat("ended", func(hb *record.Heartbeat) { hb.State, hb.Ending = "TERMINATED", true })
		must(t, c.raw.Put(t.Context(), record.HeartbeatKey("torn"), []byte("{")))
		wait(20 * time.Second)
		c.live("a", nil)
		c.live("b", func(hb *record.Heartbeat) { hb.Proof = record.ProofElapsed })
		c.live("old-master", func(hb *record.Heartbeat) { hb.State, hb.Epoch = "MASTER", 1 })
		wait(1500 * time.Millisecond)
		s := c.statusJSON()
		for node, want := range map[string]string{
			"a": "MASTER true nothing", "b": "STANDBY true nothing", "dead": "FAILED false elapsed", "ended": "TERMINATED false nothing",
			"fenced": "FENCED false nothing", "fencing": "FAILED false nothing", "new": "INITIALIZING false nothing",
			"torn": "UNREADABLE false nothing", "old-master": "STANDBY true nothing",
		} {
			row := list(t, s, "nodes", "node", node)
			got := strings.TrimSpace(row["state"].(string) + " " + map[bool]string{true: "true", false: "false"}[row["alive"].(bool)] + " " + row["proof"].(string))
			if got != want {
				t.Errorf("%s: %s, want %s", node, got, want)
			}
		}
		if p := list(t, s, "nodes", "node", "torn")["problem"].(string); !strings.Contains(p, "torn record") {
			t.Error(p)
		}
		if s["master"] != "a" {
			t.Errorf("master %v", s["master"])
		}
	})
}

// A node that was not seen to have read a change of the timings is judged by the
// longest before, too.
func TestAliveByTheTimingsBefore(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.decide(func(s *ledger.State) {
			s.TimingsBefore, _ = newTimings(60*time.Second, time.Second)
			s.TimingsSeq = c.led.Tail().Seq + 1
		})
		c.beat("a", nil) // has read it; of b lies an older one
		wait(20 * time.Second)
		s := c.statusJSON()
		for node, alive := range map[string]bool{"a": false, "b": true} {
			if got := list(t, s, "nodes", "node", node)["alive"]; got != alive {
				t.Errorf("%s alive: %v", node, got)
			}
		}
	})
}

// One bad record of a member hides none of the others.
func TestBadRecordsOfAMember(t *testing.T) {
	newer := []byte(`{"format":99,"kind":"heartbeat","sum":"","body":{}}`)
	foreign, err := record.SealHeartbeat(&record.Heartbeat{Cluster: "other", Node: "b", Incarnation: "x", Seq: 1})
	must(t, err)
	for name, data := range map[string][]byte{"torn record": []byte("{"), "newer format": newer, "of cluster": foreign, "no heartbeat": nil} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *fixture) {
				c.live("a", nil)
				if data == nil {
					must(t, c.raw.Delete(t.Context(), record.HeartbeatKey("b")))
				} else {
					must(t, c.raw.Put(t.Context(), record.HeartbeatKey("b"), data))
				}
				must(t, c.raw.Put(t.Context(), record.InventoryKey("a"), []byte("{")))
				s := c.statusJSON()
				if s["master"] != "a" || !strings.Contains(list(t, s, "nodes", "node", "b")["problem"].(string), name) {
					t.Errorf("%v", s["nodes"])
				}
				if p := list(t, s, "nodes", "node", "a")["problem"]; p == nil || !strings.Contains(p.(string), "inventory: torn") {
					t.Errorf("a: %v", p)
				}
			})
		})
	}
}

func TestStatusOfVMs(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		began := time.Now()
		lost := 3.5
		c.decide(func(s *ledger.State) {
			s.VMs = map[string]ledger.VM{
				"runs": {Owner: "b", Generation: 3, Snapshot: "g0", Disk: true}, "absent": {Owner: "b", Generation: 1},
				"dead": {Owner: "gone", Generation: 1}, "moved": {Owner: "a", Generation: 2},
			}
			s.Failovers = map[string]ledger.Failover{"gone": {
				Node: "gone", Why: "silent", Began: began,
				Moves: map[string]ledger.Move{
					"moved": {Phase: ledger.MoveRunning, To: "a", Snapshot: "g", Lost: &lost},
					"dead":  {Phase: ledger.MoveWaiting, Problem: "no replica"},
				},
			}}
			s.Members["gone"] = ledger.Member{Role: ledger.RoleWorker, Fence: &ledger.Fence{Why: "silent", Proof: ledger.ProvedElapsed}}
		})
		at := func(s int) time.Time { return began.Add(time.Hour + time.Duration(s)*time.Second) }
		c.skew = time.Hour // snapshots are dated by the owner's clock, and so is its heartbeat
		c.inventory("b", record.Inventory{
			Complete: true, VMs: []record.HostVM{{Name: "runs", State: record.VMRunning, Generation: 3}},
			Datasets: []record.Dataset{{VM: "runs", Generation: 3, Snapshots: []record.Snapshot{{GUID: "g1", Created: at(-8)}, {GUID: "g2", Created: at(-4)}, {GUID: "g3", Created: at(0)}}}},
		})
		c.inventory("a", record.Inventory{
			Complete: true, VMs: []record.HostVM{{Name: "moved", State: record.VMRunning, Generation: 2}},
			Datasets: []record.Dataset{{VM: "runs", Snapshots: []record.Snapshot{{GUID: "g1", Created: at(-8)}, {GUID: "g2", Created: at(-4)}, {GUID: "foreign", Created: at(9)}}}},
		})
		c.beat("a", nil)
		c.beat("b", nil)
		s := c.statusJSON()
		for vm, want := range map[string]map[string]any{
			"runs":   {"owner": "b", "generation": 3.0, "state": "running", "snapshot": "g0", "newest_replica_age_seconds": 4.0},
			"absent": {"owner": "b", "generation": 1.0, "state": "stopped", "snapshot": "", "newest_replica_age_seconds": nil},
			"dead":   {"owner": "gone", "generation": 1.0, "state": "unknown", "snapshot": "", "newest_replica_age_seconds": nil},
			"moved":  {"owner": "a", "generation": 2.0, "state": "running", "snapshot": "", "newest_replica_age_seconds": nil},
		} {
			if diff := cmp.Diff(want, pick(list(t, s, "vms", "name", vm), slices.Collect(maps.Keys(want))...)); diff != "" {
				t.Errorf("%s: %s", vm, diff)
			}
		}
		f := list(t, s, "failovers", "node", "gone")
		stamp, _ := json.Marshal(began)
		want := map[string]any{
			"node": "gone", "why": "silent", "began": strings.Trim(string(stamp), `"`), "proof": "elapsed", "proved": nil,
			"vms": []any{
				map[string]any{"name": "dead", "phase": "waiting", "acked": false, "to": "", "snapshot": "", "lost_seconds": nil, "problem": "no replica"},
				map[string]any{"name": "moved", "phase": "running", "acked": false, "to": "a", "snapshot": "g", "lost_seconds": 3.5, "problem": ""},
			},
		}
		if diff := cmp.Diff(want, f); diff != "" {
			t.Error(diff)
		}
		table := c.wants(0, "FAILOVER OF", "status")
		if strings.Contains(table, "\x1b") || !strings.Contains(table, "no replica") {
			t.Error(table)
		}
	})
}

// A VM's state is its owner's word, and only of the incarnation that lives.
func TestVMOfAnEarlierIncarnation(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.decide(func(s *ledger.State) { s.VMs = map[string]ledger.VM{"vm1": {Owner: "b", Generation: 1}} })
		c.inventory("b", record.Inventory{Incarnation: "b0", Complete: true, VMs: []record.HostVM{{Name: "vm1", State: record.VMRunning}}})
		if got := list(t, c.statusJSON(), "vms", "name", "vm1")["state"]; got != "unknown" {
			t.Errorf("state %v, want unknown", got)
		}
		c.inventory("b", record.Inventory{Complete: true, VMs: []record.HostVM{{Name: "vm1", State: record.VMRunning}}})
		if got := list(t, c.statusJSON(), "vms", "name", "vm1")["state"]; got != "running" {
			t.Errorf("state %v, want running", got)
		}
		wait(20 * time.Second)
		if got := list(t, c.statusJSON(), "vms", "name", "vm1")["state"]; got != "unknown" {
			t.Errorf("of a dead owner: state %v, want unknown", got)
		}
	})
}

func TestStatusWithoutACluster(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		must(t, c.raw.Put(t.Context(), ledger.Key(3), []byte("{")))
		c.wants(4, "ledger/0/00000000000000000003.json: the entry cannot be read: torn record", "status")
		must(t, c.raw.Put(t.Context(), ledger.Key(3), []byte(`{"format":99,"kind":"entry"}`)))
		c.wants(4, "record of a newer format", "status", "-o", "json")
		must(t, c.raw.Delete(t.Context(), "cluster.json"))
		c.wants(4, "the store holds a ledger but no cluster.json", "status")
		must(t, c.raw.Put(t.Context(), "cluster.json", []byte("{}")))
		c.wants(4, "cluster.json: foreign record", "status")
		c.store = memory.New()
		c.wants(4, "the store has no cluster.json", "status")
	})
}

package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	nagios "github.com/atc0005/go-nagios"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// situation is one of the cluster, and what check makes of it.
type situation struct {
	name  string
	setup func(c *fixture)
	args  []string
	code  int
	text  string
}

// byAge are the situations whose verdict rests on the store's own times.
var byAge = map[string]bool{
	"just written": true, "the master is late": true, "the master is silent": true, "thresholds": true,
	"a long threshold": true, "nobody lives": true,
}

func alive(c *fixture) { c.live("a", nil); c.live("b", nil) }

func wait(d time.Duration) { <-time.After(d) }

func situations() []situation {
	failover := func(c *fixture, proof string, mv ledger.Move) {
		c.decide(func(s *ledger.State) {
			s.VMs = map[string]ledger.VM{"vm1": {Owner: "b", Generation: 1}}
			m := s.Members["b"]
			m.Fence = &ledger.Fence{Why: "silent", Order: 3, Proof: proof}
			s.Members["b"] = m
			s.Failovers = map[string]ledger.Failover{"b": {Node: "b", Why: "silent", Moves: map[string]ledger.Move{"vm1": mv}}}
		})
		c.live("a", nil)
		wait(40 * time.Second)
	}
	vm := func(c *fixture, state string) {
		c.decide(func(s *ledger.State) { s.VMs = map[string]ledger.VM{"vm1": {Owner: "b", Generation: 1}} })
		c.inventory("b", record.Inventory{Complete: true, VMs: []record.HostVM{{Name: "vm1", State: state, Generation: 1, Problem: map[string]string{record.VMStopped: "no | disk"}[state]}}})
		alive(c)
	}
	return []situation{
		{"all is well", alive, nil, 0, "HA OK - master a, epoch 1, 2 of 2 nodes alive, 0 VMs | master_lease_age=0"},
		{"just written", func(*fixture) {}, nil, 0, "master_lease_age=0s;13;16 nodes_alive=2 failovers=0"},
		{"a VM runs", func(c *fixture) { vm(c, record.VMRunning) }, nil, 0, "1 VMs"},
		{"a VM does not run", func(c *fixture) { vm(c, record.VMStopped) }, nil, 1, "vm1 is stopped on b: no / disk"},
		{"the standby is dead", func(c *fixture) { c.live("a", nil); wait(20 * time.Second) }, nil, 1, "b is dead (FAILED) | master_lease_age="},
		{"the standby has ended", func(c *fixture) {
			c.beat("b", func(hb *record.Heartbeat) { hb.State, hb.Ending = "TERMINATED", true })
			c.live("a", nil)
		}, nil, 1, "b is dead (TERMINATED)"},
		{"the master is late", func(c *fixture) { c.live("b", nil); wait(14 * time.Second) }, nil, 1, "the lease of master a is 14s old | master_lease_age=14s;13;16"},
		{"the master is silent", func(c *fixture) { c.live("b", nil); wait(17 * time.Second) }, nil, 2, "no master: the lease of a is"},
		{"thresholds", func(c *fixture) { c.live("b", nil); wait(5 * time.Second) }, []string{"-w", "2", "-c", "4.5"}, 2, "master_lease_age=5s;2;4.5"},
		{"a long threshold", func(c *fixture) { c.live("b", nil); wait(40 * time.Second) }, []string{"-c", "2m"}, 1, "a is dead (FAILED)"},
		{"nobody lives", func(*fixture) { wait(time.Hour) }, nil, 2, "nodes_alive=0"},
		{"given up", func(c *fixture) {
			release := func(hb *record.Heartbeat) { hb.State, hb.Epoch, hb.Released = "STANDBY", 0, 1 }
			c.live("a", release)
			c.live("b", nil)
			wait(2 * time.Second)
		}, nil, 2, "no master: a gave the mastership up | master_lease_age=U;13;16"},
		{"ended", func(c *fixture) {
			c.beat("a", func(hb *record.Heartbeat) { hb.State, hb.Ending, hb.Epoch, hb.Released = "TERMINATED", true, 0, 1 })
			c.live("b", nil)
		}, nil, 2, "no master: a has ended"},
		{"came back as another", func(c *fixture) {
			c.live("a", func(hb *record.Heartbeat) { hb.Incarnation, hb.State, hb.Epoch = "a2", "STANDBY", 0 })
			c.live("b", nil)
			wait(2 * time.Second)
		}, nil, 2, "no master: a has lost the mastership"},
		{"repaired, no master yet", func(c *fixture) {
			c.decide(func(s *ledger.State) {
				s.Master, s.Incarnation, s.Armed, s.Repair = "", "", false, map[string]bool{"b": true}
			})
			alive(c)
		}, nil, 2, "no master; the repaired ledger waits for b"},
		{"handed over while looking", func(c *fixture) {
			c.live("a", func(hb *record.Heartbeat) { hb.State, hb.Epoch, hb.Released = "STANDBY", 0, 1 })
			c.live("b", func(hb *record.Heartbeat) {
				if tail := c.led.Tail(); tail.State.Master == "b" {
					hb.State, hb.Epoch = "MASTER", tail.Epoch
				}
			})
			wait(1500 * time.Millisecond)
			time.AfterFunc(700*time.Millisecond, func() {
				c.entry(ledger.KindClaim, func(e *ledger.Entry) { e.Epoch, e.State.Master, e.State.Incarnation = 2, "b", "b1" })
			})
		}, nil, 0, "master b, epoch 2"},
		{"a failover without proof", func(c *fixture) { failover(c, "", ledger.Move{Phase: ledger.MoveWaiting}) }, nil, 2, "failover of b (1 VMs) waits for a proof"},
		{"a VM that cannot be placed", func(c *fixture) {
			failover(c, ledger.ProvedOperator, ledger.Move{Phase: ledger.MoveWaiting, Problem: "no replica"})
		}, nil, 2, "vm1 of b cannot be placed: no replica"},
		{"a failover under way", func(c *fixture) {
			failover(c, ledger.ProvedElapsed, ledger.Move{Phase: ledger.MovePlaced, To: "a"})
		}, nil, 1, "failovers=1"},
		{"a conflict", func(c *fixture) {
			c.decide(func(s *ledger.State) {
				s.Conflicts = map[string]ledger.Conflict{"vm1": {Nodes: []string{"a", "b"}, Why: "it runs on several hosts"}}
			})
			alive(c)
		}, nil, 2, "vm1 is claimed by a, b: it runs on several hosts"},
		{"frozen", func(c *fixture) { c.decide(func(s *ledger.State) { s.Frozen = true }); alive(c) }, nil, 1, "frozen"},
		{"debug", func(c *fixture) { c.decide(func(s *ledger.State) { s.Debug = true }); alive(c) }, nil, 1, "debug mode"},
		{"closed", func(c *fixture) { c.decide(func(s *ledger.State) { s.Closed, s.MovedTo = true, "/there" }); alive(c) }, nil, 2, "moved to /there"},
		{"not armed, nothing to start", func(c *fixture) { c.decide(func(s *ledger.State) { s.Armed = false }); alive(c) }, nil, 0, "OK"},
		{"not armed", func(c *fixture) {
			c.decide(func(s *ledger.State) {
				s.Armed, s.VMs = false, map[string]ledger.VM{"vm1": {Owner: "b", Generation: 1}}
			})
			alive(c)
		}, nil, 1, "not armed: no VM starts (1 VMs)"},
		{"held back", func(c *fixture) {
			c.entry(ledger.KindDecide, func(e *ledger.Entry) { c.member(e, "b", func(m *ledger.Member) { m.HoldBack = true }) })
			alive(c)
		}, nil, 1, "b was demoted and holds back"},
		{"an alarm", func(c *fixture) {
			c.live("a", nil)
			c.live("b", func(hb *record.Heartbeat) { hb.Alarm = "pool | is\nsick" })
			wait(2 * time.Second)
		}, nil, 1, "alarm of b: pool / is sick |"},
		{"a node whose history failed", func(c *fixture) {
			c.live("a", nil)
			c.live("b", func(hb *record.Heartbeat) { hb.State = "FAILED" })
			wait(2 * time.Second)
		}, nil, 2, "b is FAILED"},
		{"a fork", func(c *fixture) {
			c.live("a", nil)
			c.live("b", func(hb *record.Heartbeat) { hb.LedgerHash = "other" })
			wait(2 * time.Second)
		}, nil, 2, "b has read another ledger entry 2: the history is forked"},
		{"lost entries", func(c *fixture) {
			c.live("a", nil)
			c.live("b", func(hb *record.Heartbeat) { hb.LedgerSeq = 9 })
			wait(2 * time.Second)
		}, nil, 2, "b has read ledger entry 9, and the ledger ends at 2"},
		{"a torn heartbeat", func(c *fixture) {
			must(c.t, c.raw.Put(c.t.Context(), record.HeartbeatKey("b"), []byte(`{"format":1,"kind"`)))
			c.live("a", nil)
		}, nil, 1, "the heartbeat of b cannot be read: torn record"},
		{"a newer heartbeat of the master", func(c *fixture) {
			must(c.t, c.raw.Put(c.t.Context(), record.HeartbeatKey("a"), []byte(`{"format":99,"kind":"heartbeat"}`)))
			c.live("b", nil)
		}, nil, 2, "no master: the heartbeat of a cannot be read"},
		{"a torn tail", func(c *fixture) {
			must(c.t, c.raw.Put(c.t.Context(), ledger.Key(3), []byte(`{"form`)))
			alive(c)
		}, nil, 2, "the entry cannot be read: torn record"},
		{"a newer tail", func(c *fixture) {
			must(c.t, c.raw.Put(c.t.Context(), ledger.Key(3), []byte(`{"format":99,"kind":"entry"}`)))
		}, nil, 2, "newer format"},
		{"a torn cluster.json", func(c *fixture) { must(c.t, c.raw.Put(c.t.Context(), "cluster.json", []byte(`{`))) }, nil, 2, "cluster.json"},
		{"a ledger without cluster.json", func(c *fixture) { must(c.t, c.raw.Delete(c.t.Context(), "cluster.json")) }, nil, 2, "a ledger but no cluster.json"},
		{"no cluster", func(c *fixture) { c.store = memory.New() }, nil, 3, "HA UNKNOWN - wrong cluster: no cluster"},
		{"a bad flag", alive, []string{"--nope"}, 3, "HA UNKNOWN - unknown flag: --nope"},
		{"a bad threshold", alive, []string{"-w", "soon"}, 3, "a number of seconds above 0"},
		{"crossed thresholds", alive, []string{"-w", "5", "-c", "3"}, 3, "--warning 5s is longer than --critical 3s"},
		{"an argument", alive, []string{"a"}, 3, "unexpected argument"},
		{"a bad setting", alive, []string{"--config", "/does/not/exist"}, 3, "/does/not/exist"},
	}
}

// The verdicts hold whatever clock the writers have, and also when their clock
// dates what the store gives back.
func TestCheck(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
		for _, dates := range []bool{false, true} {
			for _, s := range situations() {
				if dates && (skew == 0 || byAge[s.name]) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%t", s.name, skew, dates), func(t *testing.T) {
					bubble(t, func(t *testing.T, c *fixture) {
						c.skew = skew
						if dates {
							c.store = skewed{c.raw, skew}
						}
						s.setup(c)
						check(t, c, s)
					})
				})
			}
		}
	}
}

func check(t *testing.T, c *fixture, s situation) {
	code, stdout, stderr := c.run(append([]string{"check"}, s.args...)...)
	if code != s.code || !strings.Contains(stdout, s.text) {
		t.Errorf("exit %d, want %d with %q: %s", code, s.code, s.text, stdout)
	}
	if strings.Count(stdout, "\n") != 1 || stderr != "" {
		t.Errorf("not one line: %q, %q", stdout, stderr)
	}
	if _, perf, ok := strings.Cut(stdout, " | "); ok {
		if data, err := nagios.ParsePerfData(perf); err != nil || len(data) != 3 {
			t.Errorf("performance data %q: %v", perf, err)
		}
	}
}

// Where the store's times tell nothing, a heartbeat that stands still is one
// whose age is unknown.
func TestCheckWithoutTimes(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.store = clockless{c.raw}
		c.live("b", nil)
		c.wants(2, "the heartbeat of a stands still, for how long the store's times do not tell", "check")
		c.live("a", nil)
		c.wants(0, "HA OK", "check")
	})
}

func TestCheckUnusableStore(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.store = failing{c.raw, &persistence.Error{Op: "get", Key: "cluster.json", Err: errors.New("stale file handle")}}
		c.wants(3, "HA UNKNOWN - get cluster.json: stale file handle", "check")
		c.wants(3, "stale file handle", "status")
		c.store = hanging{c.raw, t.Context()}
		c.wants(3, "HA UNKNOWN - get cluster.json: the store did not answer in 5s", "check", "-t", "5")
		c.wants(3, "did not answer in 20s", "status")
	})
	for text, args := range map[string][]string{
		"HA UNKNOWN - no store: give --persist-dir": {"check"},
		"does not exist": {"check", "--persist-dir", t.TempDir() + "/none"},
	} {
		var out, errs strings.Builder
		if code := Main(t.Context(), args, &out, &errs); code != 3 || !strings.Contains(out.String(), text) || errs.Len() > 0 {
			t.Errorf("%v: %d %s%s", args, code, out.String(), errs.String())
		}
	}
}

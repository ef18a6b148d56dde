package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// tearTail damages the newest entry, after both nodes have read it.
func (c *fixture) tearTail() ledger.Mark {
	c.t.Helper()
	c.decide(func(s *ledger.State) { s.VMs = map[string]ledger.VM{"vm1": {Owner: "b", Generation: 3}} })
	c.decide(func(*ledger.State) {})
	lost := c.led.Tail().Mark()
	must(c.t, c.raw.Put(c.t.Context(), ledger.Key(lost.Seq), []byte("{")))
	return lost
}

func (c *fixture) terminated(node string) {
	c.beat(node, func(hb *record.Heartbeat) { hb.State, hb.Ending = "TERMINATED", true })
}

// objects lists all keys with the digest of what lies there.
func (c *fixture) objects(folder string) map[string]string {
	c.t.Helper()
	all := map[string]string{}
	names, err := c.raw.List(c.t.Context(), folder)
	must(c.t, err)
	for _, name := range names {
		key := strings.TrimPrefix(folder+"/"+name, "/")
		if sub, ok := strings.CutSuffix(key, "/"); ok {
			for k, v := range c.objects(sub) {
				all[k] = v
			}
			continue
		}
		obj, err := c.raw.Get(c.t.Context(), key)
		must(c.t, err)
		all[key] = record.Hash(obj.Value)
	}
	return all
}

func (c *fixture) unchanged(before map[string]string, new int) {
	c.t.Helper()
	after := c.objects("")
	for key, hash := range before {
		if after[key] != hash {
			c.t.Errorf("%s was changed or deleted", key)
		}
	}
	if len(after) != len(before)+new {
		c.t.Errorf("%d objects, want %d", len(after), len(before)+new)
	}
}

func TestRepairCommand(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		lost := c.tearTail()
		c.terminated("a")
		before := c.objects("")
		out := c.wants(6, "b did not say that it ended (STANDBY): stop its daemon, or --confirmed-fenced b", "ledger", "repair", "--yes")
		c.unchanged(before, 0)
		c.terminated("b")
		before = c.objects("")
		out += c.wants(6, "nothing was written; to do it, give --yes", "ledger", "repair", "--why", "the disk was full")
		for _, text := range []string{
			"the longest good chain has 3 and ends at 3", "torn record", "it continues entry 3 with what entry 3",
			"set aside, and kept: ledger/0/00000000000000000004.json", "VM vm1 belongs to b, generation 1003",
			"no VM starts before a, b have reported",
		} {
			if !strings.Contains(out, text) {
				t.Errorf("no %q in\n%s", text, out)
			}
		}
		c.unchanged(before, 0)
		began := time.Now()
		c.wants(0, "entry 10000 was made", "ledger", "repair", "--yes", "--why", "the disk was full")
		if took := time.Since(began); took < 30*time.Second {
			t.Errorf("watched for %s only", took)
		}
		c.unchanged(before, 1)
		// Readers that remember the lost entry, or less, follow it.
		for _, mark := range []ledger.Mark{{}, lost} {
			l := ledger.New(c.raw, c.id)
			must(t, l.Load(t.Context(), mark))
			e := l.Tail()
			if e.Seq != 10000 || e.Kind != ledger.KindRepair || e.Epoch <= 1 || e.State.Armed || e.State.Master != "" ||
				len(e.State.Repair) != 2 || !strings.Contains(e.Why, "the disk was full") || !strings.Contains(e.By, "@") {
				t.Errorf("%+v", e.Entry)
			}
		}
		c.wants(0, "the ledger is whole: 4 entries up to number 10000", "ledger", "verify")
		c.wants(6, "nothing to repair", "ledger", "repair", "--yes")
		c.wants(0, "(set aside) ledger history", "history")
		c.wants(0, "it waits for a, b to report", "status")
	})
}

func TestRepairWithAConfirmedNode(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.tearTail()
		c.terminated("a")
		must(t, c.raw.Put(t.Context(), record.HeartbeatKey("b"), []byte("{")))
		c.wants(6, "b: torn record", "ledger", "repair")
		must(t, c.raw.Delete(t.Context(), record.HeartbeatKey("b")))
		c.wants(6, "b has no heartbeat: --confirmed-fenced b", "ledger", "repair")
		c.wants(0, "entry 10000 was made", "ledger", "repair", "--yes", "--confirmed-fenced", "b")
	})
}

// Somebody lives, whatever was confirmed: nothing is written.
func TestRepairWhileSomebodyLives(t *testing.T) {
	for name, move := range map[string]func(c *fixture){
		"the heartbeat of b moves": func(c *fixture) { c.live("b", nil) },
		"the heartbeat of c moves": func(c *fixture) { time.AfterFunc(25*time.Second, func() { c.beat("c", nil) }) },
		"the ledger has gone on to 5": func(c *fixture) {
			time.AfterFunc(25*time.Second, func() { must(c.t, c.raw.Create(c.t.Context(), ledger.Key(5), []byte("{"))) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *fixture) {
				c.tearTail()
				c.terminated("a")
				move(c)
				c.wants(6, "nothing was written: "+name, "ledger", "repair", "--yes", "--confirmed-fenced", "b")
				if last, _ := ledger.Last(t.Context(), c.raw); last > 5 {
					t.Errorf("entry %d was made", last)
				}
			})
		})
	}
}

// Entries that only a node's own memory knows are lost too.
func TestRepairWithALocalMemory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	m, err := local.OpenDir(dir)
	must(t, err)
	bubble(t, func(t *testing.T, c *fixture) {
		c.terminated("a")
		c.terminated("b")
		c.wants(6, "nothing to repair", "ledger", "repair")
		must(t, m.SetCluster(c.id, "file:///x"))
		must(t, m.SetTail(123456, "lost"))
		must(t, m.CloseGeneration("vm1", 9))
		c.wants(5, "is in use by process", "ledger", "repair", "--state-dir", dir)
		must(t, m.Close())
		c.wants(0, "entry 133000 was made", "ledger", "repair", "--state-dir", dir, "--yes")
		l := ledger.New(c.raw, c.id)
		must(t, l.Load(t.Context(), ledger.Mark{Seq: 123456, Hash: "lost"}))
		m, err := local.OpenDir(dir)
		must(t, err)
		must(t, m.SetCluster("other", "file:///y"))
		must(t, m.Close())
		c.wants(4, `remembers cluster "other", and this is cluster-1`, "ledger", "repair", "--state-dir", dir)
	})
}

func TestRepairOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		must(t, c.raw.Put(t.Context(), ledger.Key(1), []byte("{")))
		must(t, c.raw.Put(t.Context(), ledger.Key(2), []byte("{")))
		c.wants(4, "no ledger entry that can be read, so there is nothing to continue: bring ledger/ back from a backup", "ledger", "repair", "--yes")
	})
}

func TestRepairWithAnotherState(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.tearTail()
		// A late entry of a master that had read the torn one.
		c.decide(func(s *ledger.State) { s.VMs["vm1"] = ledger.VM{Owner: "a", Generation: 4} })
		c.terminated("a")
		c.terminated("b")
		c.wants(6, "entry 5 is newer and can be read; to take what was decided from it: --state-from 5", "ledger", "repair")
		c.wants(6, "VM vm1 belongs to a, generation 1004", "ledger", "repair", "--state-from", "5")
		c.wants(4, "--state-from 4: ledger history", "ledger", "repair", "--state-from", "4")
		c.wants(0, "it continues entry 3 with what entry 5", "ledger", "repair", "--state-from", "5", "--yes")
		must(t, c.led.Load(t.Context(), ledger.Mark{}))
		if v := c.led.Tail().State.VMs["vm1"]; v.Owner != "a" {
			t.Errorf("%+v", v)
		}
	})
}

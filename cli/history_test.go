package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var rows []map[string]any
	for line := range strings.Lines(text) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		rows = append(rows, row)
	}
	return rows
}

func TestHistory(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		for i := range 30 {
			c.entry(ledger.KindDecide, func(e *ledger.Entry) { e.By, e.Why = "bob@host", fmt.Sprintf("decision %d\nand more", i) })
		}
		rows := lines(t, c.wants(0, "", "history", "-o", "json"))
		if len(rows) != 32 {
			t.Fatalf("%d rows", len(rows))
		}
		for _, key := range []string{"seq", "epoch", "node", "time", "by", "why", "kind"} {
			for _, row := range []map[string]any{rows[0], rows[31]} {
				if _, ok := row[key]; !ok {
					t.Errorf("no %q in %v", key, row)
				}
			}
		}
		if rows[31]["seq"] != 32.0 || rows[31]["by"] != "bob@host" || rows[31]["why"] != "decision 29\nand more" || rows[31]["node"] != "a" {
			t.Errorf("%v", rows[31])
		}
		if rows := lines(t, c.wants(0, "", "history", "-o", "json", "--last", "3")); len(rows) != 3 || rows[0]["seq"] != 30.0 {
			t.Errorf("%v", rows)
		}
		table := c.wants(0, "decision 29 and more", "history")
		if n := strings.Count(table, "\n"); n != 21 {
			t.Errorf("%d lines of a table, want 20 and a head", n)
		}
		c.wants(2, "--last -1", "history", "--last", "-1")
		c.wants(2, "--last 0", "history", "--last", "0")
		c.wants(2, "one of table, json", "history", "-o", "xml")
	})
}

func TestHistoryGoesOnAfterBadEntries(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		for range 6 {
			c.decide(func(*ledger.State) {})
		}
		must(t, c.raw.Put(t.Context(), ledger.Key(4), []byte("{")))
		must(t, c.raw.Delete(t.Context(), ledger.Key(6)))
		rows := lines(t, c.wants(4, "the ledger is damaged in 2 places", "history", "-o", "json"))
		if len(rows) != 8 {
			t.Fatalf("%d rows: %v", len(rows), rows)
		}
		if e, _ := rows[3]["error"].(string); rows[3]["seq"] != 4.0 || !strings.Contains(e, "torn record") {
			t.Errorf("%v", rows[3])
		}
		if e, _ := rows[5]["error"].(string); rows[5]["seq"] != 6.0 || !strings.Contains(e, "entry 6 is missing") {
			t.Errorf("%v", rows[5])
		}
		c.wants(4, "DAMAGED", "history")
		must(t, c.raw.Put(t.Context(), ledger.Key(8), []byte("{")))
		c.wants(4, "damaged in 3 places", "history")
	})
}

func TestLedgerShowAndVerify(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.decide(func(*ledger.State) {})
		var e map[string]any
		must(t, json.Unmarshal([]byte(c.wants(0, "", "ledger", "show")), &e))
		if e["seq"] != 3.0 || e["hash"] != c.led.Tail().Hash {
			t.Errorf("%v", e)
		}
		must(t, json.Unmarshal([]byte(c.wants(0, "", "ledger", "show", "1")), &e))
		if e["kind"] != "found" {
			t.Errorf("%v", e)
		}
		c.wants(2, "there is no entry 9; the newest is 3", "ledger", "show", "9")
		c.wants(2, "a number above 0", "ledger", "show", "x")
		c.wants(2, "one of show, verify, repair", "ledger")
		c.wants(2, `unknown command "mend"`, "ledger", "mend")
		c.wants(0, "the ledger is whole: 3 entries up to number 3", "ledger", "verify")
		must(t, c.raw.Put(t.Context(), ledger.Key(2), []byte("{")))
		c.wants(4, "torn record", "ledger", "verify")
		c.wants(4, "torn record", "ledger", "show", "2")
		c.wants(4, "the ledger is damaged", "ledger", "verify")
	})
}

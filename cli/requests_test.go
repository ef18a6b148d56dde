package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// master answers requests by entries, as the planner does, until the test ends.
// It keeps what it was asked.
type master struct {
	c     *fixture
	reply ledger.Answer
	kind  string
	mu    sync.Mutex
	asked []*record.Request
}

func (c *fixture) master(ok bool, text string) *master {
	m := &master{c: c, reply: ledger.Answer{OK: ok, Text: text}, kind: ledger.KindDecide}
	done := c.t.Context().Done()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.turn()
			case <-done:
				return
			}
		}
	}()
	return m
}

func (m *master) turn() {
	for _, r := range m.c.requests() {
		m.mu.Lock()
		m.asked = append(m.asked, r)
		m.mu.Unlock()
		m.c.entry(m.kind, func(e *ledger.Entry) {
			e.Requests = []string{r.ID}
			e.State.Answers = map[string]ledger.Answer{r.ID: m.reply}
		})
		// The next entries forget it, and the request is gone.
		must(m.c.t, m.c.raw.Delete(m.c.ctx(), record.RequestKey(r.ID)))
		m.c.decide(func(s *ledger.State) { s.Answers = nil })
	}
}

// requests reads all that lie in the store.
func (c *fixture) requests() []*record.Request {
	var all []*record.Request
	names, err := c.raw.List(c.ctx(), "requests")
	must(c.t, err)
	for _, name := range names {
		id := strings.TrimSuffix(name, ".json")
		obj, err := c.raw.Get(c.ctx(), record.RequestKey(id))
		must(c.t, err)
		r, err := record.OpenRequest(c.id, id, obj.Value)
		must(c.t, err)
		all = append(all, r)
	}
	return all
}

func TestRequests(t *testing.T) {
	t.Setenv("SUDO_USER", "alice")
	timings := func(timeout, interval time.Duration) *record.Timings {
		t, _ := newTimings(timeout, interval)
		return &t
	}
	for _, x := range []struct {
		args []string
		want record.Request
	}{
		{[]string{"promote", "b", "--why", "maintenance of a"}, record.Request{Action: "promote", Node: "b", Incarnation: "b1", Why: "maintenance of a"}},
		{[]string{"demote"}, record.Request{Action: "demote", Node: "a", Incarnation: "a1"}},
		{[]string{"demote", "b"}, record.Request{Action: "demote", Node: "b", Incarnation: "b1"}},
		{[]string{"priority", "b", "7"}, record.Request{Action: "priority", Node: "b", Incarnation: "b1", Priority: 7}},
		{[]string{"priority", "b", "--", "-7"}, record.Request{Action: "priority", Node: "b", Incarnation: "b1", Priority: -7}},
		{[]string{"confirm-fenced", "b"}, record.Request{Action: "confirm-fenced", Node: "b", Incarnation: "b1", Heartbeat: 1}},
		{[]string{"unfence", "b"}, record.Request{Action: "unfence", Node: "b", Incarnation: "b1"}},
		{[]string{"forget", "b"}, record.Request{Action: "forget", Node: "b", Incarnation: "b1"}},
		{[]string{"freeze"}, record.Request{Action: "freeze"}},
		{[]string{"arm"}, record.Request{Action: "arm"}},
		{[]string{"debug", "on", "--why", "to see"}, record.Request{Action: "debug", Debug: true, Why: "to see"}},
		{[]string{"debug", "off"}, record.Request{Action: "debug"}},
		{[]string{"timings", "--set", "--timeout", "20s"}, record.Request{Action: "timings", Timings: timings(20*time.Second, time.Second)}},
		{[]string{"timings", "--set", "--interval", "500ms"}, record.Request{Action: "timings", Timings: timings(30*time.Second, 500*time.Millisecond)}},
	} {
		t.Run(strings.Join(x.args, " "), func(t *testing.T) {
			bubble(t, func(t *testing.T, c *fixture) {
				m := c.master(true, "as you wish\nsir")
				c.wants(0, "as you wish sir\n", x.args...)
				if len(m.asked) != 1 {
					t.Fatalf("%d requests", len(m.asked))
				}
				got := *m.asked[0]
				if got.Cluster != c.id || got.ID == "" || got.Seen != 2 || got.Time.IsZero() || !strings.Contains(got.By, "@") || !strings.HasSuffix(got.By, "(sudo by alice)") {
					t.Errorf("%+v", got)
				}
				got.Cluster, got.ID, got.Seen, got.Time, got.By = "", "", 0, time.Time{}, ""
				if diff := cmp.Diff(x.want, got); diff != "" {
					t.Error(diff)
				}
				if left := c.requests(); len(left) > 0 {
					t.Errorf("%d requests are left", len(left))
				}
			})
		})
	}
}

func TestRefusedRequest(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.master(false, "a is the master")
		c.wants(6, "hoster-ha: refused: a is the master\n", "forget", "a")
	})
}

// Where there is no master the named node's claim answers.
func TestAnswerByAClaim(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.master(true, "b is master").kind = ledger.KindClaim
		c.wants(0, "b is master\n", "promote", "b")
		c.wants(0, "--force: b claims although the old master may still live", "promote", "b", "--force")
	})
}

func TestNobodyAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		began := time.Now()
		c.wants(7, "nobody answered within 1m0s; request ", "arm")
		if took := time.Since(began); took < time.Minute || took > 62*time.Second {
			t.Errorf("waited for %s, want twice the takeover timeout", took)
		}
		if left := c.requests(); len(left) > 0 {
			t.Errorf("%d requests are left", len(left))
		}
		c.wants(7, "was taken back", "arm", "--wait", "3s")
		c.wants(2, "--wait -1s", "arm", "--wait", "-1s")
		c.wants(0, "asked for, as request ", "arm", "--wait", "0")
		if left := c.requests(); len(left) != 1 {
			t.Errorf("%d requests, want the one that nobody waits for", len(left))
		}
		c.store = undeletable{c.raw}
		c.wants(7, "could not be taken back and may still be executed", "arm", "--wait", "1s")
	})
}

// The answer may come at the very moment at which the request is taken back.
func TestAnswerAtTheLastMoment(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.store = &answersDelete{c}
		c.wants(0, "done after all", "arm", "--wait", "1s")
	})
}

type undeletable struct{ *memory.Store }

func (undeletable) Delete(_ context.Context, key string) error {
	return &persistence.Error{Op: "delete", Key: key, Err: fmt.Errorf("read-only file system")}
}

type answersDelete struct{ c *fixture }

func (s *answersDelete) Delete(ctx context.Context, key string) error {
	id := strings.TrimSuffix(strings.TrimPrefix(key, "requests/"), ".json")
	answers := map[string]ledger.Answer{id: {OK: true, Text: "done after all"}}
	s.c.decide(func(st *ledger.State) { st.Answers = answers }) //nolint:contextcheck // the fixture has the test's
	return s.c.raw.Delete(ctx, key)
}

func (s *answersDelete) Get(ctx context.Context, key string) (persistence.Object, error) {
	return s.c.raw.Get(ctx, key)
}

func (s *answersDelete) Put(ctx context.Context, key string, value []byte) error {
	return s.c.raw.Put(ctx, key, value)
}

func (s *answersDelete) Create(ctx context.Context, key string, value []byte) error {
	return s.c.raw.Create(ctx, key, value)
}

func (s *answersDelete) List(ctx context.Context, folder string) ([]string, error) {
	return s.c.raw.List(ctx, folder)
}

// What is wrong is told before anything is written.
func TestWrongRequests(t *testing.T) {
	for text, args := range map[string][]string{
		`no node "c" in cluster cluster-1; its nodes: a, b`:      {"promote", "c"},
		`no node "a/b" in cluster`:                               {"confirm-fenced", "a/b"},
		`no node "C"`:                                            {"demote", "C"},
		`priority "high": a whole number`:                        {"priority", "a", "high"},
		`too few arguments`:                                      {"priority", "a"},
		`unexpected argument "x"`:                                {"freeze", "x"},
		`unknown flag: --now`:                                    {"arm", "--now"},
		`--set: give --timeout`:                                  {"timings", "--set"},
		`go with --set`:                                          {"timings", "--timeout", "20s"},
		`timeout 5s is less than 10 intervals`:                   {"timings", "--set", "--timeout", "5s"},
		`invalid argument "x" for "--wait" flag`:                 {"arm", "--wait", "x"},
		`unknown command "nonsense"`:                             {"nonsense"},
		`--config /none: there is no such file`:                  {"arm", "--config", "/none"},
		`--confirmed-fenced c: no such node`:                     {"ledger", "repair", "--confirmed-fenced", "c"},
		`--state-from 9: there is no such entry`:                 {"ledger", "repair", "--state-from", "9"},
		`--state-dir /does/not/exist: there is no such folder`:   {"ledger", "repair", "--state-dir", "/does/not/exist"},
		`--timeout 1s --interval 1s: timeout 1s is less than 10`: {"timeline", "--timeout", "1s"},
	} {
		t.Run(text, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *fixture) {
				if args[0] == "ledger" {
					must(t, c.raw.Put(t.Context(), ledger.Key(3), []byte("{")))
				}
				c.wants(2, text, args...)
				if left := c.requests(); len(left) > 0 {
					t.Errorf("%d requests were written", len(left))
				}
			})
		})
	}
}

func TestNoMasterToDemote(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		c.decide(func(s *ledger.State) { s.Master, s.Incarnation = "", "" })
		c.wants(6, "there is no master to demote", "demote")
		if left := c.requests(); len(left) > 0 {
			t.Errorf("%d requests were written", len(left))
		}
	})
}

// An open outcome is settled with the very same record.
func TestOpenOutcomeOfARequest(t *testing.T) {
	for _, landed := range []bool{false, true} {
		bubble(t, func(t *testing.T, c *fixture) {
			s := &unclear{Store: c.raw, landed: landed}
			c.store = s
			c.wants(0, "asked for", "arm", "--wait", "0")
			if left := c.requests(); len(left) != 1 || s.tries != 2 {
				t.Errorf("%d requests after %d tries", len(left), s.tries)
			}
		})
	}
	bubble(t, func(t *testing.T, c *fixture) {
		c.store = &unclear{Store: c.raw, always: true}
		c.wants(3, "may or may not have been made", "arm")
	})
}

// unclear does not answer the first Create.
type unclear struct {
	*memory.Store
	landed, always bool
	tries          int
}

func (s *unclear) Create(ctx context.Context, key string, value []byte) error {
	if s.tries++; s.tries > 1 && !s.always {
		return s.Store.Create(ctx, key, value)
	}
	if s.landed {
		_ = s.Store.Create(ctx, key, value)
	}
	return &persistence.Error{Op: "create", Key: key, Err: persistence.ErrUnknown}
}

// confirm-fenced shows what it speaks of.
func TestConfirmFencedSpeaksOf(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		wait(20 * time.Second)
		c.wants(0, "b: incarnation b1, heartbeat 1, written 2", "confirm-fenced", "b", "--wait", "0")
		must(t, c.raw.Put(t.Context(), record.HeartbeatKey("b"), []byte("{")))
		c.wants(0, "its admitted incarnation is b1", "confirm-fenced", "b", "--wait", "0")
		c.entry(ledger.KindDecide, func(e *ledger.Entry) {
			c.member(e, "b", func(m *ledger.Member) { m.Fence = &ledger.Fence{Incarnation: "b0", Heartbeat: 17} })
		})
		c.wants(0, "its fence speaks of incarnation b0, heartbeat 17", "confirm-fenced", "b", "--wait", "0")
		all := c.requests()
		if r := all[len(all)-1]; r.Incarnation != "b0" || r.Heartbeat != 17 {
			t.Errorf("%+v", r)
		}
	})
}

func TestCompletionOfNodes(t *testing.T) {
	bubble(t, func(t *testing.T, c *fixture) {
		if out := c.wants(0, "", "__complete", "promote", ""); !strings.HasPrefix(out, "a\nb\n:4") {
			t.Errorf("%q", out)
		}
		if out := c.wants(0, "", "__complete", "promote", "a", ""); !strings.HasPrefix(out, ":4") {
			t.Errorf("%q", out)
		}
	})
}

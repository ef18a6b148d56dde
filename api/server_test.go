package api

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/node"
)

// fake is a node that says what it is told to.
type fake struct {
	state  string
	master bool
	epoch  uint64
	until  time.Duration
	held   bool
	over   node.Overview
	alarms []string
	stats  node.Stats
}

func (f *fake) State() string { return f.state }

func (f *fake) Primary() (uint64, bool) {
	if !f.master {
		return 0, false
	}
	return f.epoch, true
}
func (f *fake) Lease() (time.Duration, bool) { return f.until, f.held }
func (f *fake) Overview() node.Overview      { return f.over }
func (f *fake) Alarms() []string             { return f.alarms }
func (f *fake) Stats() node.Stats            { return f.stats }

var wall = time.UnixMilli(1466414301065)

func master() *fake {
	return &fake{
		state: node.StateMaster, master: true, epoch: 7, until: 112500 * time.Millisecond, held: true,
		over: node.Overview{
			Cluster: "c1", Self: "a", Master: "a", Epoch: 7, LedgerSeq: 42, Failovers: 2,
			Peers: []node.Peer{
				{Name: "a", State: node.StateMaster, Standing: lease.Alive, Priority: 3, URL: "http://127.0.0.1:3900/", Wall: wall},
				{Name: "b", State: node.StateFailed, Standing: lease.Stale, Age: 40 * time.Second, Wall: wall.Add(time.Hour)},
				{Name: "new", State: node.StateFailed, Standing: lease.Unseen},
			},
		},
		stats: node.Stats{
			Beats: 100, BeatsFailed: 4, LeasesLost: 1, Claims: 2, Entries: 30, LastBeat: 15 * time.Millisecond,
			Requests: map[string]map[string]uint64{"heartbeat": {"put": 100, "get": 99}},
		},
	}
}

func standby() *fake {
	f := master()
	f.state, f.master, f.over.Master = node.StateStandby, false, "b"
	return f
}

func isolated() *fake {
	f := standby()
	f.state, f.held, f.alarms = node.StateIsolated, false, []string{"the store does not answer: eek", "more"}
	return f
}

func serve(f *fake) *Server {
	s := New(f, "1.2.3", zerolog.Nop())
	s.now = func() time.Duration { return 100 * time.Second }
	s.wall = func() time.Time { return wall.Add(time.Second) }
	return s
}

func ask(t *testing.T, s *Server, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func TestHealth(t *testing.T) {
	const noLease = `this node holds no lease (ISOLATED): the store does not answer: eek`
	for _, c := range []struct {
		name, path string
		node       *fake
		code       int
		body       string
	}{
		{"live master", "/livez", master(), 200, `{"node":"a","state":"MASTER","epoch":7}`},
		{"live isolated", "/livez", isolated(), 200, `{"node":"a","state":"ISOLATED","epoch":7}`},
		{"ready", "/readyz", standby(), 200, `{"node":"a","state":"STANDBY","epoch":7}`},
		{"not ready", "/readyz", isolated(), 503, `{"node":"a","state":"ISOLATED","epoch":7,"reason":"` + noLease + `"}`},
		{"primary", "/primary", master(), 200, `{"node":"a","state":"MASTER","epoch":7}`},
		{"not primary", "/primary", standby(), 503, `{"node":"a","state":"STANDBY","epoch":7,"reason":"this node is not the master"}`},
		{"isolated primary", "/primary", isolated(), 503, `{"node":"a","state":"ISOLATED","epoch":7,"reason":"this node is not the master"}`},
		{"standby", "/standby", standby(), 200, `{"node":"a","state":"STANDBY","epoch":7}`},
		{"not standby", "/standby", master(), 503, `{"node":"a","state":"MASTER","epoch":7,"reason":"this node is the master"}`},
		{"isolated standby", "/standby", isolated(), 503, `{"node":"a","state":"ISOLATED","epoch":7,"reason":"` + noLease + `"}`},
		{"state", "/v1/server/ha/state", master(), 200, `"MASTER"`},
		{"state with a query", "/v1/server/ha/state?x=y", standby(), 200, `"STANDBY"`},
		{"unknown", "/v1/server/ha/states/", master(), 404, `{"message":"there is nothing at this path","error":404}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(t, serve(c.node), http.MethodGet, c.path)
			if w.Code != c.code || w.Body.String() != c.body {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.code, c.body)
			}
			if ct := w.Header().Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
			if cc := w.Header().Get("Cache-Control"); cc != "no-store" {
				t.Errorf("Cache-Control %q", cc)
			}
		})
	}
}

func TestStates(t *testing.T) {
	s := serve(master())
	var got, want any
	if err := json.Unmarshal(ask(t, s, http.MethodGet, "/v1/server/ha/states").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"planeId":"c1","ownId":"a","masterId":"a","links":{},"nodes":{
		"a":{"nodeId":"a","nodeUri":"http://127.0.0.1:3900/","status":"MASTER","priority":3,
			"localTimestamp":1466414301065,"remoteTimestamp":1466414302065},
		"b":{"nodeId":"b","nodeUri":"","status":"FAILED","priority":0,
			"localTimestamp":1466417901065,"remoteTimestamp":1466414262065},
		"new":{"nodeId":"new","nodeUri":"","status":"FAILED","priority":0,
			"localTimestamp":0,"remoteTimestamp":1466414302065}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Before a cluster is found there is nothing to tell, and still the same form.
	body := ask(t, serve(&fake{state: node.StateInitializing, over: node.Overview{Self: "a"}}), http.MethodGet, "/v1/server/ha/states").Body.String()
	if want := `{"planeId":"","ownId":"a","masterId":"","nodes":{},"links":{}}`; body != want {
		t.Errorf("%s, want %s", body, want)
	}
}

func TestOnlyReading(t *testing.T) {
	s := serve(master())
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		for _, path := range []string{"/v1/server/ha/state", "/metrics", "/nowhere"} {
			w := ask(t, s, method, path)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %s: %d %v %s", method, path, w.Code, w.Header(), w.Body)
			}
		}
	}
	if w := ask(t, s, http.MethodHead, "/primary"); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestMetrics(t *testing.T) {
	lines := func(f *fake) string {
		w := ask(t, serve(f), http.MethodGet, "/metrics")
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		var kept []string
		for line := range strings.Lines(w.Body.String()) {
			if !strings.HasPrefix(line, "#") {
				kept = append(kept, regexp.MustCompile(`goversion="[^"]*"`).ReplaceAllString(line, `goversion="go"`))
			}
		}
		return strings.Join(kept, "")
	}
	want := `hoster_ha_alarms 0
hoster_ha_beat_seconds 0.015
hoster_ha_beats_failed_total 4
hoster_ha_beats_total 100
hoster_ha_build_info{goversion="go",version="1.2.3"} 1
hoster_ha_claims_total 2
hoster_ha_entries_total 30
hoster_ha_epoch 7
hoster_ha_failovers 2
hoster_ha_lease_seconds_left 12.5
hoster_ha_lease_valid 1
hoster_ha_leases_lost_total 1
hoster_ha_ledger_seq 42
hoster_ha_master 1
hoster_ha_nodes{standing="alive"} 1
hoster_ha_nodes{standing="stale"} 1
hoster_ha_nodes{standing="suspect"} 0
hoster_ha_nodes{standing="unreadable"} 0
hoster_ha_nodes{standing="unseen"} 1
hoster_ha_store_requests_total{purpose="heartbeat",request="get"} 99
hoster_ha_store_requests_total{purpose="heartbeat",request="put"} 100
`
	if diff := cmp.Diff(want, lines(master())); diff != "" {
		t.Error(diff)
	}
	lost := lines(isolated())
	for _, line := range []string{"hoster_ha_master 0\n", "hoster_ha_lease_valid 0\n", "hoster_ha_lease_seconds_left 0\n", "hoster_ha_alarms 2\n"} {
		if !strings.Contains(lost, line) {
			t.Errorf("no %q in %s", line, lost)
		}
	}
}

func TestListen(t *testing.T) {
	first, err := Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	taken := first.Addr().String()
	if _, err := Listen(t.Context(), taken, false); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("%v, want a refusal that names %s", err, taken)
	}
	other, err := Listen(t.Context(), taken, true)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if host, _, _ := net.SplitHostPort(other.Addr().String()); host != "127.0.0.1" || other.Addr().String() == taken {
		t.Errorf("listens at %s", other.Addr())
	}
	if _, err := Listen(t.Context(), "127.0.0.1:none", true); err == nil {
		t.Error("a port that is none was taken")
	}
}

func TestServeEnds(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(master()).Serve(ctx, l) }()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/primary", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || !json.Valid(body) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it does not end")
	}
	if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

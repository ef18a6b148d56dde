package doctor_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/doctor"
	"github.com/hoster-ha/hoster-ha/integration/servers"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

func TestMain(m *testing.M) { servers.VerifyMain(m) }

// examine gives the findings that are not all right, and whether the store will do.
func examine(t *testing.T, s persistence.Store, timeout time.Duration, also ...persistence.Store) (all, bad []string, well bool) {
	t.Helper()
	timings, err := lease.NewTimings(timeout, min(time.Second, timeout/20))
	if err != nil {
		t.Fatal(err)
	}
	o := doctor.Options{Races: 1, Samples: 3, Timings: timings, Wall: time.Now, Also: also}
	well = doctor.Examine(t.Context(), s, o, func(f doctor.Finding) {
		all = append(all, f.What)
		if f.Verdict != doctor.OK {
			bad = append(bad, f.Verdict+" "+f.What+": "+f.Text)
		}
	})
	names, err := s.List(t.Context(), "probe")
	if err == nil {
		for _, n := range names {
			left, err := s.List(t.Context(), "probe/"+strings.TrimSuffix(n, "/"))
			if err != nil || len(left) > 0 {
				t.Errorf("probe/%s holds %q, %v", n, left, err)
			}
		}
	}
	return all, bad, well
}

func TestWell(t *testing.T) {
	if all, bad, well := examine(t, memory.New(), 30*time.Second); !well || len(bad) > 0 || !slices.Contains(all, "outage") {
		t.Errorf("a store in memory: %q, of %q", bad, all)
	}
}

// late shows what was written to a store through another server only later: to a
// listing, or not at all.
type late struct{ *memory.Store }

func (l late) Get(_ context.Context, key string) (persistence.Object, error) {
	return persistence.Object{}, &persistence.Error{Op: "get", Key: key, Err: persistence.ErrNotFound}
}

// TestSeveralServers: what one of them makes the next one has to know.
func TestSeveralServers(t *testing.T) {
	s := memory.New()
	if _, bad, well := examine(t, s, 30*time.Second, s, s); !well || len(bad) > 0 {
		t.Errorf("three ways to one store: %q", bad)
	}
	for what, other := range map[string]persistence.Store{"another store": memory.New(), "a server that lags behind": late{s}} {
		if _, bad, well := examine(t, s, 30*time.Second, other); well || len(bad) != 1 || !strings.Contains(bad[0], "over 2 servers") {
			t.Errorf("%s: %q", what, bad)
		}
	}
}

// TestServers: what a real server does, and what is wrong with it, is found.
func TestServers(t *testing.T) {
	server := servers.Start(t, servers.MinIO)
	server.Bucket(t, "plain")
	server.VersionedBucket(t, "versioned")
	loose := servers.Start(t, servers.GoFakeS3) // it checks no signatures, so that a proxy may change requests
	loose.Bucket(t, "plain")
	for _, c := range []struct {
		what    string
		server  *servers.Server
		fault   servers.Fault
		bucket  string
		timeout time.Duration
		well    bool
		says    []string // in the order of the findings
	}{
		{"all is well", server, nil, "plain", 30 * time.Second, true, nil},
		{"versions", server, nil, "versioned", 30 * time.Second, true, []string{"warning versions: the bucket keeps old versions"}},
		{"slow", server, servers.Slow(100 * time.Millisecond), "plain", 30 * time.Second, true, nil},
		{"slower than the interval", server, servers.Slow(250 * time.Millisecond), "plain", 8 * time.Second, true, []string{"warning timings"}},
		{"too slow", server, servers.Slow(700 * time.Millisecond), "plain", 4 * time.Second, false, []string{"failed timings: "}},
		{"no conditions", loose, servers.Unconditional, "plain", 30 * time.Second, false, []string{"failed contract: "}},
		{"no conditions in a race", loose, servers.Racy(), "plain", 30 * time.Second, false, []string{"failed contract: "}},
		{"no permission", server, servers.Say(403, "AccessDenied"), "plain", 30 * time.Second, false, []string{"failed contract: "}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			p := servers.NewProxy(t, c.server)
			p.Set(c.fault)
			s, err := stores.Open("minio+http://" + p.Address + "/" + c.bucket + "/" + strings.ReplaceAll(c.what, " ", "-"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = persistence.Close(s) }()
			all, bad, well := examine(t, s, c.timeout)
			fits := len(bad) == len(c.says)
			for k := range c.says {
				fits = fits && strings.HasPrefix(bad[k], c.says[k])
			}
			if well != c.well || !fits {
				t.Errorf("%t, %q of %q; want %t, %q", well, bad, all, c.well, c.says)
			}
		})
	}
}

// TestPolicy: what deploy/iam-policy.json allows is enough, and reaches no other prefix;
// only whether versions are kept cannot be told.
func TestPolicy(t *testing.T) {
	server := servers.Start(t, servers.MinIO)
	server.Bucket(t, "plain")
	policy, err := os.ReadFile("../deploy/iam-policy.json")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("BUCKET", "plain", "PREFIX", "a/cluster").Replace(string(policy))
	access, secret, token := server.Session(t, text)
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_SESSION_TOKEN", token)
	for prefix, well := range map[string]bool{"a/cluster": true, "a/other": false} {
		s, err := stores.Open("s3://plain/" + prefix + "?path-style=true&endpoint=http://" + server.Address)
		if err != nil {
			t.Fatal(err)
		}
		_, bad, got := examine(t, s, 30*time.Second)
		if err := persistence.Close(s); err != nil {
			t.Error(err)
		}
		if got != well || len(bad) != 1 || well && !strings.HasPrefix(bad[0], "warning versions: ") || !well && !strings.Contains(bad[0], "allow them s3:PutObject") {
			t.Errorf("%s: %t, %q", prefix, got, bad)
		}
	}
}

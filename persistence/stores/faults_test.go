package stores_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/integration/servers"
	"github.com/hoster-ha/hoster-ha/persistence"
)

// outcome names what a caller is told; every error is exactly one of them.
func outcome(err error) string {
	var told []string
	for name, is := range map[string]error{
		"exists": persistence.ErrExists, "not found": persistence.ErrNotFound, "unknown": persistence.ErrUnknown, "refused": persistence.ErrRefused,
	} {
		if errors.Is(err, is) {
			told = append(told, name)
		}
	}
	switch {
	case err == nil:
		return "done"
	case len(told) == 0:
		return "failed"
	}
	slices.Sort(told)
	return strings.Join(told, " and ")
}

// behind puts a store behind a proxy before a server, by each library.
func behind(t *testing.T, kind servers.Kind, f func(t *testing.T, s persistence.Store, p *servers.Proxy)) {
	t.Helper()
	server := servers.Start(t, kind)
	server.Bucket(t, bucket)
	for name, address := range libraries {
		t.Run(name, func(t *testing.T) {
			p := servers.NewProxy(t, server)
			f(t, opened(t, address(p.Address, name)), p)
		})
	}
}

// TestFaults holds what a caller is told of each fault in the traffic with a real
// server against what has really happened. Each write is sent once.
func TestFaults(t *testing.T) {
	denied := servers.Say(http.StatusForbidden, "AccessDenied")
	busy := servers.Say(http.StatusServiceUnavailable, "SlowDown")
	conflict := servers.Say(http.StatusConflict, "ConditionalRequestConflict")
	skewed := servers.Say(http.StatusForbidden, "RequestTimeTooSkewed")
	expired := servers.Say(http.StatusBadRequest, "ExpiredToken")
	moved := servers.Say(http.StatusMovedPermanently, "PermanentRedirect", "X-Amz-Bucket-Region", "eu-north-1")
	elsewhere := servers.Say(http.StatusTemporaryRedirect, "TemporaryRedirect", "Location", "http://127.0.0.1:1/elsewhere")
	lacking := servers.Say(http.StatusNotImplemented, "NotImplemented")
	broken := servers.Say(http.StatusInternalServerError, "InternalError")
	absent := servers.Say(http.StatusNotFound, "NoSuchKey")
	behind(t, servers.MinIO, func(t *testing.T, s persistence.Store, p *servers.Proxy) {
		for k, c := range []struct {
			what                           string
			fault                          servers.Fault
			get, list, put, create, remove string
			says                           string
			done                           bool // by the writes
		}{
			{"the answer is lost", servers.LoseAnswer, "failed", "failed", "unknown", "unknown", "unknown", "", true},
			{"the request is lost", servers.LoseRequest, "failed", "failed", "unknown", "unknown", "unknown", "", false},
			{"it is done twice", servers.Repeat, "done", "done", "done", "exists", "done", "", true},
			{"no permission", denied, "refused", "refused", "refused", "refused", "refused", "allow them s3:", false},
			{"too many requests", busy, "failed", "failed", "unknown", "unknown", "unknown", "SlowDown", false},
			{"the server breaks", broken, "failed", "failed", "unknown", "unknown", "unknown", "InternalError", false},
			{"a conflict", conflict, "failed", "failed", "unknown", "unknown", "unknown", "ConditionalRequestConflict", false},
			{"the clock is wrong", skewed, "refused", "refused", "refused", "refused", "refused", "clock is wrong", false},
			{"expired credentials", expired, "refused", "refused", "refused", "refused", "refused", "credentials are not accepted", false},
			{"another region", moved, "refused", "refused", "refused", "refused", "refused", "?region=", false},
			{"a redirect", elsewhere, "refused", "refused", "refused", "refused", "refused", "another region", false},
			{"not implemented", lacking, "refused", "refused", "refused", "refused", "refused", "lacks", false},
			{"no S3 server", servers.NoS3, "refused", "refused", "refused", "refused", "refused", "does not answer like an S3 server", false},
			{"a gateway's conflict", servers.Gateway(http.StatusConflict), "refused", "refused", "unknown", "unknown", "unknown", "", false},
			{"a gateway's time is over", servers.Gateway(http.StatusGatewayTimeout), "failed", "failed", "unknown", "unknown", "unknown", "", false},
			{"it says that nothing is there", absent, "not found", "failed", "failed", "failed", "done", "", false},
			{"half of the answer", servers.Truncate, "failed", "failed", "done", "done", "done", "", true},
		} {
			t.Run(c.what, func(t *testing.T) {
				old, made, gone := fmt.Sprintf("%d/old", k), fmt.Sprintf("%d/made", k), fmt.Sprintf("%d/gone", k)
				for _, key := range []string{old, gone} {
					if err := s.Put(t.Context(), key, []byte("the value before")); err != nil {
						t.Fatal(err)
					}
				}
				for _, call := range []struct {
					op, want string
					do       func() error
				}{
					{"get", c.get, func() error { _, err := s.Get(t.Context(), old); return err }},
					{"list", c.list, func() error { _, err := s.List(t.Context(), fmt.Sprint(k)); return err }},
					{"put", c.put, func() error { return s.Put(t.Context(), old, []byte("the value after")) }},
					{"create", c.create, func() error { return s.Create(t.Context(), made, []byte("made")) }},
					{"delete", c.remove, func() error { return s.Delete(t.Context(), gone) }},
				} {
					p.Set(c.fault)
					err := call.do()
					sent := p.Requests()
					p.Set(nil)
					if got := outcome(err); got != call.want {
						t.Errorf("%s: %s (%v), want %s", call.op, got, err, call.want)
					}
					// Go's HTTP client repeats a read on which a connection was closed, never
					// a write of which anything was sent.
					if reads := call.op == "get" || call.op == "list"; len(sent) != 1 && (!reads || len(sent) != 2) {
						t.Errorf("%s: %d requests were sent (%v), want one", call.op, len(sent), sent)
					}
					if err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n")) {
						t.Errorf("%s: %q, want one line with %q", call.op, err, c.says)
					}
				}
				value := "the value before"
				if c.done {
					value = "the value after"
				}
				if o, err := s.Get(t.Context(), old); err != nil || string(o.Value) != value {
					t.Errorf("after the put there is %q, %v", o.Value, err)
				}
				_, err := s.Get(t.Context(), made)
				if _, gone := s.Get(t.Context(), gone); (err == nil) != c.done || (outcome(gone) == "not found") != c.done {
					t.Errorf("after create and delete: %v, %v", err, gone)
				}
			})
		}
	})
}

// TestLateWrites: a write that landed after its caller gave up is never called a
// failure.
func TestLateWrites(t *testing.T) {
	behind(t, servers.GoFakeS3, func(t *testing.T, s persistence.Store, p *servers.Proxy) {
		release := make(chan struct{})
		p.Set(servers.Late(release))
		err := s.Create(t.Context(), "late", []byte("first"))
		p.Set(nil)
		if outcome(err) != "unknown" {
			t.Fatalf("%v, want an open outcome", err)
		}
		if _, err := s.Get(t.Context(), "late"); outcome(err) != "not found" {
			t.Fatal(err)
		}
		close(release)
		for {
			o, err := s.Get(t.Context(), "late")
			if err == nil {
				if string(o.Value) != "first" {
					t.Errorf("%q landed", o.Value)
				}
				break
			}
			if outcome(err) != "not found" {
				t.Fatal(err)
			}
		}
		if err := s.Create(t.Context(), "late", []byte("first")); outcome(err) != "exists" {
			t.Errorf("the same record again: %v", err)
		}
	})
}

// TestHang: calls end with their contexts, and a write is open then.
func TestHang(t *testing.T) {
	behind(t, servers.GoFakeS3, func(t *testing.T, s persistence.Store, p *servers.Proxy) {
		p.Set(servers.Hang)
		cause := errors.New("no time is left")
		for op, do := range map[string]func(ctx context.Context) error{
			"unknown": func(ctx context.Context) error { return s.Create(ctx, "hung", []byte("v")) },
			"failed":  func(ctx context.Context) error { _, err := s.Get(ctx, "hung"); return err },
		} {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, cause)
			err := do(ctx)
			cancel()
			if outcome(err) != op || !errors.Is(err, cause) {
				t.Errorf("%v, want %s", err, op)
			}
		}
	})
}

// TestNothingListens: what was never sent has not happened.
func TestNothingListens(t *testing.T) {
	server := servers.Start(t, servers.GoFakeS3)
	server.Kill()
	for name, address := range libraries {
		err := opened(t, address(server.Address, name)).Create(t.Context(), "key", []byte("v"))
		if outcome(err) != "failed" || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: %v, want a plain failure", name, err)
		}
	}
}

// TestLiars: a server that does not honour the condition is refused at the proof,
// also one that does as long as nobody competes.
func TestLiars(t *testing.T) {
	behind(t, servers.GoFakeS3, func(t *testing.T, s persistence.Store, p *servers.Proxy) {
		if err := persistence.Prove(t.Context(), s); err != nil {
			t.Errorf("an honest server: %v", err)
		}
		for says, fault := range map[string]servers.Fault{"answered twice that it made the key": servers.Unconditional, "in a race": servers.Racy()} {
			p.Set(fault)
			err := persistence.Prove(t.Context(), s)
			p.Set(nil)
			if outcome(err) != "refused" || !strings.Contains(err.Error(), says) {
				t.Errorf("%v, want a refusal with %q", err, says)
			}
		}
	})
}

package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzRequest asks anything that HTTP lets through. Whatever it is, the answer
// is one of those that are promised, whole, kept by no cache, and that of the
// path alone.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		"GET /primary HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n",
		"GET /v1/server/ha/states?x=%zz HTTP/1.0\r\n\r\n", "POST /primary HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
		"GET //primary HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%70rimary HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://b/livez HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "get /primary HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", "GET /readyz/../primary HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		f.Add([]byte(text), byte(0))
		f.Add([]byte(text), byte(1))
		f.Add([]byte(text), byte(2))
	}
	nodes := []*fake{master(), standby(), isolated()}
	f.Fuzz(func(t *testing.T, data []byte, which byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return // refused before it comes here
		}
		n := nodes[which%3]
		s, w := serve(n), httptest.NewRecorder()
		s.ServeHTTP(w, r.WithContext(t.Context()))
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q may be kept: %v", data, w.Header())
		}
		_, known := s.routes[r.URL.Path]
		asks := r.Method == http.MethodGet || r.Method == http.MethodHead
		want := http.StatusOK
		switch {
		case !asks:
			want = http.StatusMethodNotAllowed
		case !known:
			want = http.StatusNotFound
		case r.URL.Path == "/primary" && !n.master, r.URL.Path == "/standby" && (n.master || !n.held), r.URL.Path == "/readyz" && !n.held:
			want = http.StatusServiceUnavailable
		}
		if w.Code != want {
			t.Errorf("%s %q: %d, want %d", r.Method, r.URL.Path, w.Code, want)
		}
		if asks && r.URL.Path == "/metrics" {
			if !strings.Contains(w.Body.String(), "hoster_ha_master ") {
				t.Errorf("metrics: %s", w.Body)
			}
		} else if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q is answered with %q", data, w.Body)
		}
	})
}

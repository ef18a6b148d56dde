package object

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// How long a connection may take to be made: a lease has no time for more.
const (
	dialTimeout      = time.Second
	handshakeTimeout = 2 * time.Second
	idleTimeout      = 90 * time.Second
	poolSize         = 16 // idle connections of one purpose; commands list with several
)

// newHTTPClient makes an HTTP client with connections of its own. Its calls end with
// their contexts alone.
func newHTTPClient() *http.Client {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: handshakeTimeout,
		IdleConnTimeout:     idleTimeout,
		MaxIdleConnsPerHost: poolSize,
		DisableCompression:  true,
	}
	return &http.Client{
		Transport: dated{t},
		// A write that is sent elsewhere by a redirect is a second write.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// attempt is what is known of one request besides its answer.
type attempt struct {
	mu      sync.Mutex
	sent    bool      // a connection was had: something may have been sent
	server  time.Time // the date of the answer
	foreign bool      // the answer is none of an S3 server
}

type attemptKey struct{}

// withAttempt has what becomes of a request noted.
func withAttempt(ctx context.Context) (context.Context, *attempt) {
	a := &attempt{}
	ctx = context.WithValue(ctx, attemptKey{}, a)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.sent = true
	}}), a
}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

func (a *attempt) wasSent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent
}

func (a *attempt) date() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.server
}

func (a *attempt) isForeign() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.foreign
}

// dated notes the date of each answer, and whose it is.
type dated struct{ http.RoundTripper }

func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	if a := attemptOf(r.Context()); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.server, _ = http.ParseTime(resp.Header.Get("Date")) // none is none
		a.foreign = resp.Header.Get("X-Amz-Request-Id") == "" && !strings.Contains(resp.Header.Get("Content-Type"), "xml")
	}
	return resp, nil
}

// CloseIdleConnections lets http.Client close what it keeps.
func (d dated) CloseIdleConnections() {
	if c, ok := d.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

package servers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A Fault is what a proxy does with a request in place of passing it on.
type Fault func(p *Proxy, w http.ResponseWriter, r *http.Request)

// Proxy stands between a client and a server.
type Proxy struct {
	Address string
	server  *Server

	mu       sync.Mutex
	fault    Fault
	requests []string
	late     sync.WaitGroup
}

// NewProxy puts a proxy before a server until the test ends.
func NewProxy(tb testing.TB, s *Server) *Proxy {
	tb.Helper()
	p := &Proxy{server: s}
	h := httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	h.Config.ErrorLog = nil
	h.Start()
	p.Address = h.Listener.Addr().String()
	tb.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		p.late.Wait()
	})
	return p
}

// Set has all requests meet a fault from now on; nil ends that.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.requests = f, nil
}

// Requests lists what came by since the fault was set: the methods.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	f := p.fault
	p.requests = append(p.requests, r.Method)
	p.mu.Unlock()
	// Read whole before anything is done with it, so that it can be sent again.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if f == nil {
		f = Pass
	}
	f(p, w, r)
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a request to the server as it came, its Host included: that is signed.
func (p *Proxy) ask(ctx context.Context, r *http.Request) answer {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	out := r.Clone(ctx)
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.server.Address, ""
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	resp, err := t.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return answer{resp.StatusCode, resp.Header, got}
}

func (a answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may have gone
}

// Pass hands a request on and the answer back.
func Pass(p *Proxy, w http.ResponseWriter, r *http.Request) { p.ask(r.Context(), r).write(w) }

// LoseAnswer lets the request be done, and the answer never arrive.
func LoseAnswer(p *Proxy, _ http.ResponseWriter, r *http.Request) {
	p.ask(r.Context(), r)
	panic(http.ErrAbortHandler)
}

// LoseRequest lets nothing be done, and no answer arrive.
func LoseRequest(*Proxy, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Repeat does the request twice, as a proxy does that lost the first answer.
func Repeat(p *Proxy, w http.ResponseWriter, r *http.Request) {
	p.ask(r.Context(), r)
	p.ask(r.Context(), r).write(w)
}

// Late answers nothing, and does the request once release is closed.
func Late(release <-chan struct{}) Fault {
	return func(p *Proxy, _ http.ResponseWriter, r *http.Request) {
		held := r.Clone(context.WithoutCancel(r.Context()))
		p.late.Go(func() { //nolint:contextcheck // it outlives the request
			defer func() { _ = recover() }() // the server may have gone
			<-release
			p.ask(held.Context(), held)
		})
		panic(http.ErrAbortHandler)
	}
}

// Hang answers nothing until the client gives up.
func Hang(_ *Proxy, _ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// Truncate sends half of the answer's body.
func Truncate(p *Proxy, w http.ResponseWriter, r *http.Request) {
	a := p.ask(r.Context(), r)
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	a.header.Set("Connection", "close") // it is, and nobody is to find out by the next request
	a.body = a.body[:len(a.body)/2]
	a.write(w)
	_ = http.NewResponseController(w).Flush() // the client may have gone
	panic(http.ErrAbortHandler)
}

// Say answers with an error of S3 and does nothing.
func Say(status int, code string, header ...string) Fault {
	return func(_ *Proxy, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Amz-Request-Id", "test")
		for k := 0; k < len(header); k += 2 {
			w.Header().Set(header[k], header[k+1])
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>as the test wants</Message></Error>`, code)
	}
}

// NoS3 answers like some other web server.
func NoS3(p *Proxy, w http.ResponseWriter, r *http.Request) { Gateway(http.StatusNotFound)(p, w, r) }

// Gateway answers like a gateway that is no S3 server, and does nothing.
func Gateway(status int) Fault {
	return func(_ *Proxy, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>the gateway says no</html>", status)
	}
}

// Unconditional takes the condition off every request, as a server does that does not
// know it.
func Unconditional(p *Proxy, w http.ResponseWriter, r *http.Request) {
	r.Header.Del("If-None-Match")
	p.ask(r.Context(), r).write(w)
}

// Racy honours conditions one after the other, and not in a race: of those who write
// the same key at once only the first is held to one.
func Racy() Fault {
	var mu sync.Mutex
	looking := map[string]int{}
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == "" {
			Pass(p, w, r)
			return
		}
		mu.Lock()
		looking[r.URL.Path]++
		mu.Unlock()
		defer func() {
			mu.Lock()
			looking[r.URL.Path]--
			mu.Unlock()
		}()
		mu.Lock()
		alone := looking[r.URL.Path] == 1
		mu.Unlock()
		if !alone {
			r.Header.Del("If-None-Match")
		}
		p.ask(r.Context(), r).write(w)
	}
}

// Slow passes every request on after a while.
func Slow(d time.Duration) Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		<-time.After(d)
		Pass(p, w, r)
	}
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/node"
)

// Node is what the server asks of the node it speaks for.
type Node interface {
	State() string
	// Primary says whether the node is master at this instant.
	Primary() (epoch uint64, ok bool)
	// Lease says whether the node holds its lease, and until when on the
	// boot-time clock.
	Lease() (until time.Duration, ok bool)
	Overview() node.Overview
	Alarms() []string
	Stats() node.Stats
}

var _ Node = (*node.Node)(nil)

// Bounds on what one client can hold up. Answers are small and made from
// memory.
const (
	headerTimeout = 5 * time.Second
	answerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
	maxHeader     = 16 << 10
	endGrace      = time.Second
)

// Server answers for one node.
type Server struct {
	node   Node
	log    zerolog.Logger
	now    func() time.Duration // boot-time clock, as Node.Lease
	wall   func() time.Time
	routes map[string]http.Handler
}

// New makes a server; version is told with the metrics.
func New(n Node, version string, log zerolog.Logger) *Server {
	s := &Server{node: n, log: log, now: boottime.Now, wall: time.Now}
	s.routes = map[string]http.Handler{
		"/v1/server/ha/state":  http.HandlerFunc(s.state),
		"/v1/server/ha/states": http.HandlerFunc(s.states),
		"/livez":               http.HandlerFunc(s.livez),
		"/readyz":              http.HandlerFunc(s.readyz),
		"/primary":             http.HandlerFunc(s.primary),
		"/standby":             http.HandlerFunc(s.standby),
		"/metrics":             s.metrics(version),
	}
	return s
}

// Serve answers on the listener until ctx ends, and then lets what is being
// answered finish.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: stdlog.New(s.log.With().Str("part", "http").Logger(), "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("http: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		err = srv.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		return fmt.Errorf("http: %w", served)
	}
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
		return
	}
	h, ok := s.routes[r.URL.Path]
	if !ok {
		refuse(w, http.StatusNotFound, "there is nothing at this path")
		return
	}
	h.ServeHTTP(w, r)
}

// refuse answers in AMP's form of errors.
func refuse(w http.ResponseWriter, code int, message string) {
	answer(w, code, struct {
		Message string `json:"message"`
		Error   int    `json:"error"`
	}{message, code})
}

// answer writes one JSON value and nothing after it: balancers compare bodies.
func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A client that has gone away is no concern of ours.
	_, _ = w.Write(body)
}

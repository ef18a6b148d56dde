package watchdog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Operations of the protocol: a line of JSON each way.
const (
	opExtend      = "extend"
	opDisarm      = "disarm"
	opAcknowledge = "acknowledge"
	opState       = "state"
)

// question is what a daemon says.
type question struct {
	Op       string        `json:"op"`
	Deadline time.Duration `json:"deadline,omitempty"`
	Timeout  time.Duration `json:"timeout,omitempty"`
	By       string        `json:"by,omitempty"`
}

// answer is what it is told.
type answer struct {
	Error  string `json:"error,omitempty"`
	Passed bool   `json:"passed,omitempty"` // the error is ErrPassed
	State  State  `json:"state"`
}

// ErrBusy: another watchdog answers at the socket already.
var ErrBusy = errors.New("another watchdog runs already")

// listen opens the socket: only this user's processes may use it.
func listen(ctx context.Context, path string) (*net.UnixListener, error) {
	if c, err := Dial(ctx, path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("%w, at %s", ErrBusy, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// What an earlier process left answers nobody.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// serve answers until the listener is closed.
func (g *Guard) serve(l *net.UnixListener) {
	var conns sync.WaitGroup
	defer conns.Wait()
	open := make(chan struct{})
	defer close(open)
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		conns.Go(func() {
			done := make(chan struct{})
			defer close(done)
			go func() {
				select {
				case <-open:
				case <-done:
				}
				_ = c.Close()
			}()
			if uid, err := peer(c); err != nil || uid != os.Geteuid() {
				return
			}
			g.converse(c)
		})
	}
}

// longest bounds a question.
const longest = 4 << 10

// converse answers one daemon's questions. What it cannot read ends the conversation,
// and changes nothing.
func (g *Guard) converse(c io.ReadWriter) {
	lines := bufio.NewScanner(c)
	lines.Buffer(make([]byte, 0, longest), longest)
	out := json.NewEncoder(c)
	for lines.Scan() {
		var q question
		if json.Unmarshal(lines.Bytes(), &q) != nil {
			return
		}
		err := g.ask(q)
		a := answer{Passed: errors.Is(err, ErrPassed), State: g.State()}
		if err != nil {
			a.Error = err.Error()
		}
		if out.Encode(a) != nil {
			return
		}
	}
}

func (g *Guard) ask(q question) error {
	switch q.Op {
	case opExtend:
		return g.Extend(q.Deadline, q.Timeout, q.By)
	case opDisarm:
		return g.Disarm()
	case opAcknowledge:
		return g.Acknowledge()
	case opState:
		return nil
	}
	return fmt.Errorf("%q is not understood", q.Op)
}

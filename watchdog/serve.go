package watchdog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Operations of the protocol: a line of JSON each way.
const (
	opExtend      = "extend"
	opDisarm      = "disarm"
	opAcknowledge = "acknowledge"
	opState       = "state"
	opReexec      = "reexec"
)

// question is what a daemon says.
type question struct {
	Op       string        `json:"op"`
	Deadline time.Duration `json:"deadline,omitempty"`
	Timeout  time.Duration `json:"timeout,omitempty"`
	By       string        `json:"by,omitempty"`
	Path     string        `json:"path,omitempty"` // of the program that is to go on
	// Until is when the asker gives up, of the boot-time clock: what is read later is not
	// carried out, or it would undo what was asked since over another connection.
	Until time.Duration `json:"until,omitempty"`
}

// answer is what it is told.
type answer struct {
	Error  string `json:"error,omitempty"`
	Passed bool   `json:"passed,omitempty"` // the error is ErrPassed
	State  State  `json:"state"`
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

// errLate is the answer to a question that nobody waits for.
var errLate = errors.New("it was asked too long ago")

func (g *Guard) ask(q question) error {
	if q.Op == opReexec {
		if g.replace == nil {
			return errors.New("it cannot be replaced")
		}
		return g.replace(q.Path, q.Until)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if q.Until > 0 && g.opts.Now() >= q.Until {
		return errLate
	}
	switch q.Op {
	case opExtend:
		return g.extend(q.Deadline, q.Timeout, q.By)
	case opDisarm:
		return g.disarm()
	case opAcknowledge:
		return g.acknowledge()
	case opState:
		return nil
	}
	return fmt.Errorf("%q is not understood", q.Op)
}

package watchdog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// patience is how long a question may stay unanswered: the watchdog waits for nothing
// but its device.
const patience = time.Second

// Client is a daemon's way to its watchdog. After an error other than ErrPassed it is
// not to be used any more: Dial again.
type Client struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to the watchdog at a socket.
func Dial(ctx context.Context, path string) (*Client, error) {
	c, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	return &Client{conn: c, in: bufio.NewReader(c)}, nil
}

// Close ends the conversation; the deadline that was handed last stays.
func (c *Client) Close() error { return c.conn.Close() }

// Extend hands a deadline of the boot-time clock; timeout bounds the device's.
func (c *Client) Extend(deadline, timeout time.Duration, by string) (State, error) {
	return c.ask(question{Op: opExtend, Deadline: deadline, Timeout: timeout, By: by}, patience)
}

// Disarm lifts the deadline.
func (c *Client) Disarm() (State, error) { return c.ask(question{Op: opDisarm}, patience) }

// Acknowledge ends a deadline that has passed under ActionLog.
func (c *Client) Acknowledge() (State, error) {
	return c.ask(question{Op: opAcknowledge}, patience)
}

// State asks what is so.
func (c *Client) State() (State, error) { return c.ask(question{Op: opState}, patience) }

// Reexec lets the program at an absolute path take the watchdog's place, in its process
// and with its deadline. Without an error the connection has ended, and another tells
// whether it did. See Keeper.Upgrade.
func (c *Client) Reexec(path string) error {
	_, err := c.ask(question{Op: opReexec, Path: path}, preflight+2*patience)
	if broken(err) {
		return nil
	}
	if err == nil {
		err = errors.New("watchdog: it did not replace its program, and does not say why")
	}
	return err
}

// refused is what the watchdog answered in place of doing what it was asked.
type refused struct{ text string }

func (r refused) Error() string { return r.text }

// ask waits so long for an answer at most; a watchdog that comes to read the question
// later leaves it.
func (c *Client) ask(q question, patience time.Duration) (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q.Until = boottime.Now() + patience
	data, err := json.Marshal(q)
	if err == nil {
		err = c.conn.SetDeadline(time.Now().Add(patience))
	}
	if err == nil {
		_, err = c.conn.Write(append(data, '\n'))
	}
	var line []byte
	if err == nil {
		line, err = c.in.ReadBytes('\n')
	}
	var a answer
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	switch {
	case err != nil:
		return State{}, fmt.Errorf("watchdog: %w", err)
	case a.Passed:
		return a.State, ErrPassed
	case a.Error != "":
		return a.State, refused{a.Error}
	}
	return a.State, nil
}

// broken says whether an error is of a connection whose other end has gone, so that the
// question may be asked anew: each may be carried out twice. One that was not answered in
// time is not asked again.
func broken(err error) bool {
	if _, ok := errors.AsType[refused](err); ok || err == nil || errors.Is(err, ErrPassed) {
		return false
	}
	timeout, ok := errors.AsType[net.Error](err)
	return !ok || !timeout.Timeout()
}

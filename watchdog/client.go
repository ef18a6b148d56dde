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
	return c.ask(question{Op: opExtend, Deadline: deadline, Timeout: timeout, By: by})
}

// Disarm lifts the deadline.
func (c *Client) Disarm() (State, error) { return c.ask(question{Op: opDisarm}) }

// Acknowledge ends a deadline that has passed under ActionLog.
func (c *Client) Acknowledge() (State, error) { return c.ask(question{Op: opAcknowledge}) }

// State asks what is so.
func (c *Client) State() (State, error) { return c.ask(question{Op: opState}) }

func (c *Client) ask(q question) (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
		return a.State, errors.New(a.Error)
	}
	return a.State, nil
}

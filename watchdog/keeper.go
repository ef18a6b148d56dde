package watchdog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrClosed: the keeper was closed.
var ErrClosed = errors.New("watchdog: closed")

// KeeperConfig is what a daemon says of its watchdog.
type KeeperConfig struct {
	Socket string
	// Command is the argument vector that starts one, where nothing answers at the socket:
	// the program's absolute path first. Empty: none is ever started.
	Command []string
	// Log is the file that what was started writes to; "": nowhere.
	Log string
	// Patience is how long a call may take. Default 1 s.
	Patience time.Duration
}

// Keeper is a daemon's watchdog, whatever becomes of its process. Each call takes
// Patience at most: it dials anew where the connection has broken, and where nothing
// answers it starts a watchdog and returns an error at once. What it started is no part
// of the daemon and outlives it.
//
// Its methods may be called by several goroutines.
type Keeper struct {
	cfg    KeeperConfig
	turn   chan struct{} // held by whoever asks
	client *Client       // of whoever holds turn; nil: none is connected
	closed bool          // as well
	starts starter
}

// NewKeeper makes one; it connects at the first call.
func NewKeeper(cfg KeeperConfig) *Keeper {
	if cfg.Patience <= 0 {
		cfg.Patience = patience
	}
	return &Keeper{cfg: cfg, turn: make(chan struct{}, 1), starts: starter{command: cfg.Command, log: cfg.Log}}
}

// Extend hands a deadline of the boot-time clock; timeout bounds the device's. Of the
// errors ErrPassed alone is the watchdog's last word.
func (k *Keeper) Extend(deadline, timeout time.Duration, by string) (State, error) {
	return k.ask(question{Op: opExtend, Deadline: deadline, Timeout: timeout, By: by})
}

// Disarm lifts the deadline.
func (k *Keeper) Disarm() (State, error) { return k.ask(question{Op: opDisarm}) }

// Acknowledge ends a deadline that has passed under ActionLog.
func (k *Keeper) Acknowledge() (State, error) { return k.ask(question{Op: opAcknowledge}) }

// State asks what is so.
func (k *Keeper) State() (State, error) { return k.ask(question{Op: opState}) }

// Close ends the conversation; the watchdog and the deadline that was handed last stay.
func (k *Keeper) Close() error {
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	k.closed = true
	k.drop()
	return nil
}

func (k *Keeper) ask(q question) (State, error) {
	until := time.Now().Add(k.cfg.Patience)
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		return State{}, fmt.Errorf("watchdog: it has not answered what was asked before: %w", ctx.Err())
	}
	defer func() { <-k.turn }()
	if k.closed {
		return State{}, ErrClosed
	}
	if k.client != nil {
		s, err := k.client.ask(q, time.Until(until))
		if !broken(err) {
			return s, k.settle(err)
		}
		k.drop() // what answered has gone; another may be there
	}
	c, err := Dial(ctx, k.cfg.Socket)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return State{}, fmt.Errorf("%w: %w", err, k.starts.start())
	}
	if err != nil {
		return State{}, err
	}
	k.client = c
	s, err := c.ask(q, time.Until(until))
	return s, k.settle(err)
}

// settle lets go of a connection after an error: a late answer must not be taken for that
// of a later question.
func (k *Keeper) settle(err error) error {
	if err != nil && !errors.Is(err, ErrPassed) {
		k.drop()
	}
	return err
}

func (k *Keeper) drop() {
	if k.client != nil {
		_ = k.client.Close() // what it was for has failed, or is over
		k.client = nil
	}
}

// openLog opens the file that a started watchdog writes to.
func openLog(path string) (*os.File, error) {
	if path == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

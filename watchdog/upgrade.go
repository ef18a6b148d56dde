package watchdog

import (
	"context"
	"fmt"
	"time"
)

// Upgrade lets the program at an absolute path take the watchdog's place in its process:
// the deadline stays, and is extended meanwhile as ever by other calls, save for the
// moment that the new program takes to begin. After an error the old one goes on, or the
// watchdog has ended, as State tells.
//
// The program is refused unless it is a file that only root or this user could have
// written, and says its version within 2 s.
func (k *Keeper) Upgrade(path string) (State, error) {
	// A connection of its own: the deadline is extended over the other.
	ctx, cancel := context.WithTimeout(context.Background(), 2*preflight+3*patience)
	defer cancel()
	c, err := Dial(ctx, k.cfg.Socket)
	if err != nil {
		return State{}, err
	}
	defer func() { _ = c.Close() }() // what it was for is answered
	before, err := c.State()
	if err != nil {
		return State{}, err
	}
	if err := c.Reexec(path); err != nil {
		return before, fmt.Errorf("the watchdog's program was not replaced by %s: %w", path, err)
	}
	for {
		s, err := k.look(ctx)
		switch {
		case err == nil && s.PID == before.PID && s.Replaced > before.Replaced:
			return s, nil
		case err == nil && s.PID != before.PID:
			return s, fmt.Errorf("the watchdog has ended, as %s took its place; another guards", path)
		}
		select {
		case <-time.After(tick):
		case <-ctx.Done():
			return s, fmt.Errorf("the watchdog does not answer any more, since %s took its place: %w", path, ctx.Err())
		}
	}
}

// look asks whoever answers now.
func (k *Keeper) look(ctx context.Context) (State, error) {
	c, err := Dial(ctx, k.cfg.Socket)
	if err != nil {
		return State{}, err
	}
	defer func() { _ = c.Close() }() // what it was for is answered
	return c.State()
}

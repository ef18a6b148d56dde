package cli

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/watchdog"
)

// running asks the watchdog that is there already. One that does not answer is left to
// the node, which waits for it or starts another.
func running(ctx context.Context, socket string) (s watchdog.State, answers bool) {
	c, err := watchdog.Dial(ctx, socket)
	if err != nil {
		return s, false
	}
	defer func() { _ = c.Close() }() // nothing is lost with it
	s, err = c.State()
	return s, err == nil
}

// mayUse refuses a watchdog that would do something else at a deadline than what is asked
// for.
func mayUse(found watchdog.State, runs bool, action string) error {
	if !runs || fenceActions[action] == found.Action {
		return nil
	}
	return fmt.Errorf("--fence-action %s: the watchdog that runs (process %d) has another (%s): stop it while the cluster is frozen, and start this daemon anew", action, found.PID, found.Action)
}

// mayLeave refuses to go on without a watchdog where an earlier process has left one that
// is going to end this host: a daemon that does not extend the deadline would be ended in
// the midst of what it does, and its heartbeats would keep others from taking over.
func mayLeave(found watchdog.State) error {
	if !found.Armed || found.Action == watchdog.ActionLog {
		return nil
	}
	return fmt.Errorf("the watchdog (process %d) is armed by an earlier process, and ends this host if its deadline passes; by these settings there is none: start with those of before, stop the daemon in order, then change them", found.PID)
}

// upgraded lets this program take the place of a watchdog of another version, and waits
// for nothing: the daemon is needed now, and what guards it does so whatever comes of
// this. settled waits until that is known.
func upgraded(found watchdog.State, exe string, upgrade func(path string) (watchdog.State, error), log zerolog.Logger) (settled func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, err := upgrade(exe)
		if err != nil {
			log.Warn().Err(err).Str("its", found.Version).Str("this", Version).Msg("the watchdog is of another version than this program, and stays so until it is started anew")
			return
		}
		log.Info().Str("from", found.Version).Str("to", s.Version).Int("pid", s.PID).Msg("the watchdog goes on as this program")
	}()
	return func() { <-done }
}

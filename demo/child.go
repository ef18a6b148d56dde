package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// reaped bounds how long a killed process may take to be gone.
const reaped = 10 * time.Second

// child is one process that the demonstration started.
type child struct {
	what string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how, then
}

// spawn starts this program once more. The child dies with this process, and
// signals of a terminal do not reach it.
func (d *demo) spawn(ctx context.Context, what, logFile string, args ...string) (*child, error) {
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer log.Close()
	// Ended by stop and kill alone: a cancelled context would not let it leave.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), d.exe, args...)
	c := &child{what: what, done: make(chan struct{}), cmd: cmd}
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.Env = log, log, environment()
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// On Linux the parent, whose death the child does not survive, is the thread
		// that started it: it must live as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return c, nil
}

// environment is this process's own without what would speak to a real daemon. Nothing
// of the demo could end the machine that it is shown on.
func environment() []string {
	env := []string{"NO_COLOR=1", "HOSTER_HA_WATCHDOG=off"}
next:
	for _, e := range os.Environ() {
		for _, prefix := range []string{"HOSTER_HA_", "NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_"} {
			if strings.HasPrefix(e, prefix) {
				continue next
			}
		}
		env = append(env, e)
	}
	return env
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// alive says whether the process runs; a nil child does not.
func (c *child) alive() bool {
	if c == nil {
		return false
	}
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// signal fails only for a process that cannot be told; one that has ended needs
// no telling.
func (c *child) signal(sig os.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil && c.alive() {
		return fmt.Errorf("%s (process %d): %w", c.what, c.pid(), err)
	}
	return nil
}

// ended waits for the process to end.
func (c *child) ended(wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-c.done:
		return true
	case <-t.C:
		return false
	}
}

// kill ends the process at once.
func (c *child) kill() error {
	if err := c.signal(syscall.SIGKILL); err != nil {
		return err
	}
	if !c.ended(reaped) {
		return fmt.Errorf("%s (process %d) does not end", c.what, c.pid())
	}
	return nil
}

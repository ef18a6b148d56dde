package run

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// What a Command's zero fields stand for.
const (
	DefaultGrace     = 2 * time.Second
	DefaultWaitDelay = time.Second
	DefaultMaxOutput = 1 << 20
	maxStderr        = 64 << 10
)

// Command is what to run, and within which bounds.
type Command struct {
	Args []string // Args[0] is the program
	// Env is its whole environment; nil is the environment of this process.
	Env   []string
	Stdin []byte // none is an empty input
	Dir   string // "" is the folder of this process
	// Timeout is when it is asked to end, 0 leaves that to the context alone.
	// Of a context's deadline the grace and the waiting are taken off, so that
	// all is over by then.
	Timeout time.Duration
	// Grace is how long after it was asked it is made to end.
	Grace time.Duration
	// WaitDelay is how long, once the command has ended, the end of its output
	// is waited for: somebody else may have it open.
	WaitDelay time.Duration
	// MaxOutput is how many bytes of its standard output are kept.
	MaxOutput int
	// Leaves: it may leave processes behind. What they write to the pipes they
	// inherited is read and thrown away as long as this process lives; the pipes
	// of other commands are closed when Run returns.
	Leaves bool
}

// Result is what came of a command.
type Result struct {
	Stdout, Stderr string
	Truncated      bool // Stdout was cut at MaxOutput
	// Open: somebody still had its standard output open, more may follow.
	Open bool
	// Left: it ended by itself with another code than 0, and processes of its
	// group went on. Said for Leaves only.
	Left     bool
	Exit     int // exit code; -1 when it did not end by itself
	Duration time.Duration
}

// process is one command on its way. Its channels are closed in this order;
// err and the state are written before.
type process struct {
	cmd              *exec.Cmd
	started, ended   chan struct{}
	startErr         error
	abandoned        chan struct{} // closed when its start is too late
	stdout, stderr   *capture
	inChild, ourEnds []*os.File
}

// Run runs a command until it has ended, or has been made to. The error is nil
// when it exited with 0 by itself, else an *Error; the result holds what came
// until then in either case.
func Run(ctx context.Context, c Command) (Result, error) {
	began := time.Now()
	c = c.withDefaults()
	fail := &Error{Args: c.Args, Exit: -1}
	if len(c.Args) == 0 || c.Args[0] == "" {
		fail.NotStarted, fail.Err = true, errors.New("no program named")
		return Result{Exit: -1}, fail
	}
	if ctx.Err() != nil {
		fail.NotStarted, fail.Err = true, context.Cause(ctx)
		return Result{Exit: -1}, fail
	}
	c, timeout := c.within(ctx)
	p, err := newProcess(ctx, c)
	if err != nil {
		fail.NotStarted, fail.Err = true, err
		return Result{Exit: -1}, fail
	}
	var over <-chan time.Time
	if timeout >= 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		over = t.C
	}
	go p.live()

	select {
	case <-p.ended:
	case <-over:
		fail.TimedOut, fail.Err = true, context.DeadlineExceeded
	case <-ctx.Done():
		fail.Err = context.Cause(ctx)
		fail.TimedOut = errors.Is(ctx.Err(), context.DeadlineExceeded)
	}
	forced := fail.Err != nil
	if forced && !p.stop(c.Grace, c.WaitDelay) {
		fail.Ended = p.ended
	}
	if fail.Ended == nil && p.startErr != nil {
		// However late: it certainly did not start.
		p.close()
		fail.NotStarted, fail.TimedOut, fail.Err = true, false, p.startErr
		return Result{Exit: -1, Duration: time.Since(began)}, fail
	}
	if fail.Ended == nil {
		fail.Exit, fail.Signal = exitOf(p.cmd.ProcessState)
	}
	res := p.result(c, forced, fail.Exit)
	res.Duration = time.Since(began)
	fail.Stderr = firstLine(res.Stderr)
	if !forced && fail.Exit == 0 {
		return res, nil
	}
	return res, fail
}

func exitOf(state *os.ProcessState) (int, syscall.Signal) {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return -1, ws.Signal()
	}
	return state.ExitCode(), 0
}

// within fits the command's times into the context's deadline, and tells how
// long it may run before it is asked to end: -1 is as long as the context lets
// it.
func (c Command) within(ctx context.Context) (Command, time.Duration) {
	timeout := time.Duration(-1)
	if c.Timeout > 0 {
		timeout = c.Timeout
	}
	if d, ok := ctx.Deadline(); ok {
		left := max(time.Until(d), 0)
		c.Grace = min(c.Grace, left/4)
		c.WaitDelay = min(c.WaitDelay, left/8)
		// One wait for its end, one for the end of its output.
		if most := left - c.Grace - 2*c.WaitDelay; timeout < 0 || timeout > most {
			timeout = most
		}
	}
	return c, timeout
}

func (c Command) withDefaults() Command {
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	if c.WaitDelay <= 0 {
		c.WaitDelay = DefaultWaitDelay
	}
	if c.MaxOutput <= 0 {
		c.MaxOutput = DefaultMaxOutput
	}
	return c
}

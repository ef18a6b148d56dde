package run

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// groupPoll is how often a group that was asked to end is looked at.
const groupPoll = 10 * time.Millisecond

func newProcess(ctx context.Context, c Command) (*process, error) {
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		_ = outR.Close()
		_ = outW.Close()
		return nil, err
	}
	// The context ends the command through stop, which ends its group too; here
	// it would end the one process alone.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), c.Args[0], c.Args[1:]...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.Stdout, cmd.Stderr = outW, errW
	cmd.WaitDelay = c.WaitDelay/2 + 1 // for input that nobody reads
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if len(c.Stdin) > 0 {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	return &process{
		cmd:       cmd,
		started:   make(chan struct{}),
		ended:     make(chan struct{}),
		abandoned: make(chan struct{}),
		stdout:    newCapture(outR, c.MaxOutput),
		stderr:    newCapture(errR, maxStderr),
		inChild:   []*os.File{outW, errW},
		ourEnds:   []*os.File{outR, errR},
	}, nil
}

// live starts the command and waits for its end. It has a goroutine of its own
// since the kernel may hold up either.
func (p *process) live() {
	defer close(p.ended)
	p.startErr = p.cmd.Start()
	for _, f := range p.inChild {
		_ = f.Close()
	}
	close(p.started)
	if p.startErr != nil {
		return
	}
	select {
	case <-p.abandoned:
		p.signal(syscall.SIGKILL)
	default:
	}
	go p.stdout.drain()
	go p.stderr.drain()
	_ = p.cmd.Wait() // all that counts is in ProcessState
}

// stop ends the group: asked at first, made to after the grace. It tells
// whether the command itself has ended.
func (p *process) stop(grace, wait time.Duration) bool {
	select {
	case <-p.started:
	case <-time.After(grace + wait):
		close(p.abandoned)
		select {
		case <-p.started: // at the last instant: perhaps it did not see that
		default:
			return false
		}
	}
	if p.startErr != nil {
		<-p.ended
		return true
	}
	p.signal(syscall.SIGTERM)
	if !p.groupGone(grace) {
		p.signal(syscall.SIGKILL)
	}
	select {
	case <-p.ended:
		return true
	case <-time.After(wait):
		return false
	}
}

// groupGone waits until no process of the group is left. It looks so often that
// the number of a group that ended cannot have been given to another meanwhile.
func (p *process) groupGone(within time.Duration) bool {
	over := time.NewTimer(within)
	defer over.Stop()
	tick := time.NewTicker(groupPoll)
	defer tick.Stop()
	for p.signal(0) {
		select {
		case <-tick.C:
		case <-over.C:
			return false
		}
	}
	return true
}

// signal sends a signal to the group and tells whether there is one.
func (p *process) signal(s syscall.Signal) bool {
	err := syscall.Kill(-p.cmd.Process.Pid, s)
	return err == nil || err == syscall.EPERM
}

// result gathers the output once the command has ended or was given up.
func (p *process) result(c Command, forced bool, exit int) Result {
	res := Result{Exit: exit}
	over := time.NewTimer(c.WaitDelay)
	defer over.Stop()
	for _, o := range []*capture{p.stdout, p.stderr} {
		select {
		case <-o.done:
		case <-over.C:
			over.Reset(0) // no more waiting for the other one
		}
	}
	res.Stdout, res.Truncated, res.Open = p.stdout.text()
	res.Stderr, _, _ = p.stderr.text()
	if forced {
		res.Exit = -1
	} else if c.Leaves && exit != 0 {
		res.Left = !p.groupGone(c.WaitDelay)
	}
	if !c.Leaves || forced {
		p.close()
	}
	return res
}

// close closes the ends that this process has of the pipes, and with them the
// reading.
func (p *process) close() {
	for _, f := range p.ourEnds {
		_ = f.Close()
	}
}

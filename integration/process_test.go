package integration

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// starts are handed to one thread that lives as long as this process: the
// kernel kills a child with Pdeathsig when the thread that made it ends.
var starts = make(chan func())

func launches() {
	runtime.LockOSThread()
	for start := range starts {
		start()
	}
}

// process is a program that the harness started. It dies with the harness.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of its end
}

// launch starts the program; its output goes to a file.
func launch(tb testing.TB, output *os.File, args ...string) *process {
	tb.Helper()
	return launchAs(tb, binary, nil, output, args...)
}

// launchAs starts a program with some more environment.
func launchAs(tb testing.TB, exe string, env []string, output *os.File, args ...string) *process {
	tb.Helper()
	cmd := exec.CommandContext(context.Background(), exe, args...)
	cmd.Env = append(environment(), env...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starts <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		tb.Fatalf("start %v: %v", args, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p
}

// environment is this process's without settings of the program. No daemon here has a
// watchdog that could end the machine.
func environment() []string {
	env := []string{"HOSTER_HA_WATCHDOG=off"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HOSTER_HA_") && !strings.HasPrefix(v, "NOTIFY_SOCKET=") {
			env = append(env, v)
		}
	}
	return env
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Fatalf("signal %v to process %d: %v", s, p.pid(), err)
	}
}

// kill ends it at once and waits for its end. It may be called at any time.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Command is the hidden subcommand of the program that reaches Main.
const Command = "demo-vm"

// begun is what a VM process tells the start that waits for it.
const begun = "begun"

// Start starts the VM as a process of its own session, which no ending of the
// caller reaches, and returns nil only when it runs; so it does for one that
// runs already. A planted VM is a second copy that keeps no rule: it gets a
// copy of the VM's disk of whichever host has it.
func (h Host) Start(ctx context.Context, vm string, planted bool) error {
	fail := func(err error) error { return fmt.Errorf("start %s on %s: %w", vm, h.name, err) }
	place := h.place(vm, planted)
	if planted {
		if err := h.plantDisk(vm); err != nil {
			return fail(err)
		}
	} else if there, err := h.hasDisk(vm); err != nil || !there {
		return fail(errors.Join(errors.New("the host has no own disk of it"), err))
	}
	log, err := os.OpenFile(filepath.Join(place, "log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	cmd, answer, err := h.spawn(ctx, vm, planted, log)
	if err != nil {
		return fail(err)
	}
	select {
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fail(context.Cause(ctx))
	case said := <-answer:
		if said == begun {
			go func() { _ = cmd.Wait() }() // leaves no zombie to a caller that stays
			return nil
		}
		_ = cmd.Wait()
		// The child took the data lock after any other start had ended: who
		// holds the lock now has begun.
		if _, held, err := holder(filepath.Join(place, "lock")); err == nil && held {
			return nil
		}
		if said == "" {
			said = "it ended before it had begun: see " + log.Name()
		}
		return fail(errors.New(said))
	}
}

// spawn starts the VM process. Its one word comes over a pipe of its own; where
// the caller is gone by then, it stops again.
func (h Host) spawn(ctx context.Context, vm string, planted bool, log *os.File) (*exec.Cmd, <-chan string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	args := []string{Command, "--root", h.root, "--host", h.name, "run", vm, "--ready"}
	if planted {
		args = append(args, "--plant")
	}
	// Not this call's context: the VM lives on after it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), exe, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		return nil, nil, err
	}
	answer := make(chan string, 1)
	go func() {
		defer r.Close()
		buf := make([]byte, 1024)
		n, _ := r.Read(buf) // one write, or the end of the child
		answer <- strings.TrimSpace(string(buf[:n]))
	}()
	return cmd, answer, nil
}

// plantDisk copies the VM's disk from a host that has it as its own.
func (h Host) plantDisk(vm string) error {
	all, err := hosts(h.root)
	if err != nil {
		return err
	}
	for _, o := range all {
		there, err := o.hasDisk(vm)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		counter, err := readDisk(vm, o.disk(vm))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(h.place(vm, true), 0o700); err != nil {
			return err
		}
		return writeAtomic(filepath.Join(h.place(vm, true), "disk"), diskImage(vm, counter))
	}
	return errors.New("no host has a disk of it to copy")
}

// Stop asks the VM to stop and waits until it has. One that does not run is
// stopped already.
func (h Host) Stop(ctx context.Context, vm string) error {
	return h.end(ctx, vm, "stop", syscall.SIGTERM)
}

// Kill ends the VM at once and waits until it has ended.
func (h Host) Kill(ctx context.Context, vm string) error {
	return h.end(ctx, vm, "kill", syscall.SIGKILL)
}

func (h Host) end(ctx context.Context, vm, what string, sig os.Signal) error {
	pid, held, err := signalHolder(h.lock(vm), sig)
	if err == nil && held {
		err = awaitFree(ctx, h.lock(vm), pid)
	}
	if err != nil {
		return fmt.Errorf("%s %s on %s: %w", what, vm, h.name, err)
	}
	return nil
}

// Monitor is nil when the VM runs and counts: its counter moves within a
// second.
func (h Host) Monitor(ctx context.Context, vm string) error {
	fail := func(err error) error { return fmt.Errorf("monitor %s on %s: %w", vm, h.name, err) }
	_, held, err := holder(h.lock(vm))
	if err == nil && !held {
		err = errors.New("it does not run")
	}
	if err != nil {
		return fail(err)
	}
	first, err := readDisk(vm, h.disk(vm))
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, fmt.Errorf("its counter stands at %d", first))
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		now, err := readDisk(vm, h.disk(vm))
		return now > first, err
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// Exit codes of Main.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `usage: hoster-ha demo-vm --root FOLDER --host HOST COMMAND
  create [VM...]              make the host's folder, and own disks
  list                        "VM running|stopped" for each own disk
  start [--plant] VM          start it; --plant: a second copy against all rules
  stop VM | kill VM           end it, and wait until it has ended
  monitor VM                  0 when it runs and counts
  snapshots                   "VM GUID UNIX-SECONDS", oldest first, and "VM written"
  snapshot VM                 make one now and replicate it
  prepare VM GUID GENERATION  make the replica the own disk at the snapshot
  set-aside VM                give up the own disk: it becomes a replica
  replicate [--every 1s]      snapshot and replicate what runs here, until ended
  run [--plant] VM            be the VM
`

var errUsage = errors.New("wrong usage")

// options are the flags of all commands.
type options struct {
	root, host   string
	every        time.Duration
	plant, ready bool
}

// Main is the hidden subcommand: args are those after its name. It returns the
// exit code: 0 done, 1 failed or refused, 2 wrong usage.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := pflag.NewFlagSet(Command, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.root, "root", "", "folder of the demonstration")
	flags.StringVar(&o.host, "host", "", "name of the host")
	flags.DurationVar(&o.every, "every", time.Second, "interval of replicate")
	flags.BoolVar(&o.plant, "plant", false, "a second copy that keeps no rule")
	flags.BoolVar(&o.ready, "ready", false, "run: say over descriptor 3 when it has begun")
	err := flags.Parse(args)
	if err != nil {
		err = fmt.Errorf("%w: %w", errUsage, err)
	} else {
		err = o.do(ctx, flags.Args(), stdout, stderr)
	}
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintf(stderr, "%v\n%s", err, usage)
		return exitUsage
	default:
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailed
	}
}

func (o *options) do(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	h, err := NewHost(o.root, o.host)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if len(args) == 0 {
		return fmt.Errorf("%w: no command", errUsage)
	}
	verb, args := args[0], args[1:]
	if verb == "create" {
		return h.Create(args...)
	}
	want, known := map[string]int{
		"list": 0, "snapshots": 0, "replicate": 0, "start": 1, "stop": 1, "kill": 1,
		"monitor": 1, "snapshot": 1, "set-aside": 1, "run": 1, "prepare": 3,
	}[verb]
	if !known || len(args) != want {
		return fmt.Errorf("%w: %s with %d arguments", errUsage, verb, len(args))
	}
	if want == 0 {
		return o.whole(ctx, h, verb, stdout, stderr)
	}
	if err := checkName("VM", args[0]); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return o.vm(ctx, h, verb, args, stderr)
}

// whole are the commands about the host as a whole.
func (o *options) whole(ctx context.Context, h Host, verb string, stdout, stderr io.Writer) error {
	switch verb {
	case "snapshots":
		return h.Snapshots(stdout)
	case "replicate":
		ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
		defer cancel()
		return h.Replicate(ctx, o.every, stderr)
	}
	states, err := h.List()
	if err != nil {
		return err
	}
	var out strings.Builder
	for _, s := range states {
		word := "stopped"
		if s.Running {
			word = "running"
		}
		fmt.Fprintln(&out, s.Name, word)
	}
	_, err = io.WriteString(stdout, out.String())
	return err
}

// vm are the commands about one VM.
func (o *options) vm(ctx context.Context, h Host, verb string, args []string, stderr io.Writer) error {
	vm := args[0]
	switch verb {
	case "start":
		return h.Start(ctx, vm, o.plant)
	case "stop":
		return h.Stop(ctx, vm)
	case "kill":
		return h.Kill(ctx, vm)
	case "monitor":
		return h.Monitor(ctx, vm)
	case "snapshot":
		return h.Snapshot(ctx, vm, stderr)
	case "set-aside":
		return h.SetAside(ctx, vm)
	case "prepare":
		generation, err := strconv.ParseUint(args[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: generation %q", errUsage, args[2])
		}
		return h.Prepare(ctx, vm, args[1], generation)
	}
	return o.run(ctx, h, vm)
}

// run is the VM process. With --ready it says over descriptor 3, the start's
// pipe, that it has begun or why not.
func (o *options) run(ctx context.Context, h Host, vm string) error {
	if !o.ready {
		return h.Run(ctx, vm, o.plant, func() error { return nil })
	}
	starter := os.NewFile(3, "starter")
	syscall.CloseOnExec(3)
	told := false
	err := h.Run(ctx, vm, o.plant, func() error {
		told = true
		_, err := io.WriteString(starter, begun)
		return errors.Join(err, starter.Close())
	})
	if err != nil && !told {
		_, _ = io.WriteString(starter, err.Error())
	}
	return err
}

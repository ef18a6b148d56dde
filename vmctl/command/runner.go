package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/vmctl/run"
)

const (
	// grace is what a command has between TERM and KILL.
	grace = time.Second
	// actWait is how long, once a command that acts has ended, processes that it
	// left behind are waited for when they have its output open.
	actWait = 200 * time.Millisecond
	// defaultPath is for daemons that were started without one.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Host is what commands are told of the host they run on.
type Host struct {
	Node string
	// BootID names the running boot, and DeadlineFile is a path on a local disk
	// that no reboot moves: both for self_stop alone.
	BootID       string
	DeadlineFile string
}

// about is what one command is about; a zero field is not known.
type about struct {
	vm         string
	guid       string
	generation uint64
}

// runner runs the commands of a driver or a provider.
type runner struct {
	env []string

	mu    sync.Mutex
	stuck map[string]<-chan struct{} // queries that could not be ended
}

func newRunner(h Host, selfStop bool) *runner {
	env := append(inherited(os.Environ()), "HOSTER_HA_NODE="+h.Node)
	if selfStop {
		env = append(env, "HOSTER_HA_DEADLINE_FILE="+h.DeadlineFile, "HOSTER_HA_BOOT_ID="+h.BootID)
	}
	return &runner{env: env, stuck: map[string]<-chan struct{}{}}
}

// inherited is the daemon's environment without its own settings, the store's
// keys, and what its service manager said to it alone.
func inherited(environ []string) []string {
	var env []string
	path := false
	for _, kv := range environ {
		own := false
		for _, prefix := range []string{"HOSTER_HA_", "AWS_", "MINIO_", "LISTEN_", "NOTIFY_SOCKET=", "WATCHDOG_"} {
			own = own || strings.HasPrefix(kv, prefix)
		}
		if !own {
			env = append(env, kv)
		}
		path = path || strings.HasPrefix(kv, "PATH=")
	}
	if !path {
		env = append(env, "PATH="+defaultPath)
	}
	return env
}

// command fills in what the arguments and the environment say. Each
// placeholder is replaced once: what a value looks like does not matter.
func (r *runner) command(args []string, timeout time.Duration, a about) run.Command {
	generation := ""
	env := r.env[:len(r.env):len(r.env)]
	if a.vm != "" {
		env = append(env, "HOSTER_HA_VM="+a.vm)
	}
	if a.guid != "" {
		env = append(env, "HOSTER_HA_GUID="+a.guid)
	}
	if a.generation != 0 {
		generation = strconv.FormatUint(a.generation, 10)
		env = append(env, "HOSTER_HA_GENERATION="+generation)
	}
	fill := strings.NewReplacer(inVM, a.vm, inGUID, a.guid, inGeneration, generation)
	filled := make([]string, len(args))
	for i, arg := range args {
		filled[i] = fill.Replace(arg)
	}
	return run.Command{
		Args: filled, Env: env, Dir: "/",
		Timeout: timeout, Grace: grace,
	}
}

// act runs a command that does something, and may leave processes behind.
func (r *runner) act(ctx context.Context, args []string, timeout time.Duration, a about) (run.Result, error) {
	c := r.command(args, timeout, a)
	c.Leaves, c.WaitDelay = true, actWait
	return run.Run(ctx, c)
}

// query runs a command that only asks. While an earlier one of the same key
// cannot be ended, no other is added to it.
func (r *runner) query(ctx context.Context, key string, c run.Command) (run.Result, error) {
	r.mu.Lock()
	stuck := r.stuck[key]
	r.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		default:
			return run.Result{}, fmt.Errorf("%s: an earlier one cannot be ended", key)
		}
	}
	res, err := run.Run(ctx, c)
	var failed *run.Error
	if errors.As(err, &failed) && failed.Ended != nil {
		r.mu.Lock()
		r.stuck[key] = failed.Ended
		r.mu.Unlock()
	}
	return res, err
}

// listing is the whole output of a command that lists, or an error.
func (r *runner) listing(ctx context.Context, key string, c run.Command) (string, error) {
	res, err := r.query(ctx, key, c)
	switch {
	case err != nil:
		return "", err
	case res.Truncated:
		return "", fmt.Errorf("%s: its output is longer than %d bytes", key, c.MaxOutput)
	case res.Open:
		return "", fmt.Errorf("%s: it left a process that has its output open", key)
	}
	return res.Stdout, nil
}

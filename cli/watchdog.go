package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// What --device takes besides a path.
const (
	deviceAuto = "auto"
	deviceNone = "none"
)

// fenceActions are what --fence-action takes, and what the watchdog does of it: it is the
// daemon that stops VMs, and the deadline that it hands that leaves the time.
var fenceActions = map[string]string{
	node.FenceStop:   watchdog.ActionReboot,
	node.FenceReboot: watchdog.ActionReboot,
	node.FenceLog:    watchdog.ActionLog,
}

// watchdogCommand is `hoster-ha watchdog`.
func watchdogCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "watchdog", Short: "Guard this host: reset it when a deadline passes that the daemon did not extend", Args: args(0, 0),
		Long: `Runs the watchdog of this host, a process of its own beside the daemon. The daemon
hands it deadlines over a socket; when one passes, the host is reset. Until the
first one was handed nothing is armed. While one is in force the watchdog does not
end by being asked to.

` + exits(ExitOK, ExitFailed, ExitUsage, ExitName),
	}
	f := cmd.Flags()
	config.HostFlags(f)
	socket := f.String("socket", "", "where the daemon asks (default: watchdog.sock in --state-dir)")
	device := f.String("device", "", "watchdog of the kernel: auto (the first, if there is one), none, or its path (default: what --watchdog of the daemon's settings says)")
	f.String("fence-action", node.FenceStop, "when a deadline has passed: stop-then-reboot or reboot (the host is reset), or log (nothing is done)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.host == nil {
			return errUnguarded
		}
		// It reads the daemon's file: what is set there for both holds for both.
		does, ok := fenceActions[a.settings.FenceAction]
		if !ok {
			return usageError{fmt.Errorf("--fence-action %q: one of stop-then-reboot, reboot, log", a.settings.FenceAction)}
		}
		if *socket == "" {
			*socket = filepath.Join(a.settings.StateDir, socketFile)
		}
		if !cmd.Flags().Changed("device") {
			*device = a.host().deviceOf(a.settings.Watchdog)
		}
		log, err := logger(a.stderr, a.settings)
		if err != nil {
			return usageError{err}
		}
		return a.guard(cmd.Context(), log, *socket, *device, does)
	}
	return cmd
}

// guard runs the watchdog until it is told to end, and may.
func (a *app) guard(ctx context.Context, log zerolog.Logger, socket, device, action string) error {
	h := a.host()
	open, err := h.opens(device, log)
	if err != nil {
		return usageError{err}
	}
	o := watchdog.Options{Action: action, Now: boottime.Now, Version: Version, Device: open, Resume: h.resume}
	o.Reset, o.Able = h.reset()
	if o.Explain, err = a.explains(h, log); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// It goes on where whoever reads its log has gone.
	signal.Ignore(syscall.SIGPIPE)
	err = watchdog.Run(ctx, socket, o, func(r watchdog.Report) {
		log.Info().Str("socket", socket).Str("version", Version).Str("action", action).Int("pid", os.Getpid()).Msg("the watchdog runs")
		for what, problem := range map[string]string{"reset": o.Able, "realtime": r.Realtime, "memory": r.Memory} {
			if problem != "" {
				log.Warn().Str("what", what).Msg(problem)
			}
		}
	})
	if errors.Is(err, watchdog.ErrBusy) {
		return exitError{ExitName, err}
	}
	return err
}

// fenceFile is where a reset is explained, in the folder of --state-dir.
const fenceFile = "fence.json"

// explains is where a reset is explained before it comes.
func (a *app) explains(h host, log zerolog.Logger) (watchdog.Explain, error) {
	boot, err := local.BootID()
	if err != nil {
		return watchdog.Explain{}, err
	}
	e := watchdog.Explain{Path: filepath.Join(a.settings.StateDir, fenceFile), Boot: boot, Log: log}
	if h.console != nil {
		if e.Console, err = h.console(); err != nil {
			log.Warn().Err(err).Msg("a reset is not explained on the console")
		}
	}
	return e, nil
}

// opens is how the device is opened that was asked for; nil: there is none.
func (h host) opens(device string, log zerolog.Logger) (func(time.Duration) (watchdog.Device, error), error) {
	switch {
	case device == deviceNone, device == deviceAuto && h.device == nil:
		return nil, nil
	case device != deviceAuto && !filepath.IsAbs(device):
		return nil, fmt.Errorf("--device %q: one of auto, none, or an absolute path", device)
	case h.device == nil:
		return nil, fmt.Errorf("--device %s: no device may be opened from here", device)
	case device != deviceAuto:
		if err := mayOpen(device); err != nil {
			return nil, fmt.Errorf("--device %s: %w", device, err)
		}
		return func(timeout time.Duration) (watchdog.Device, error) { return h.device(device, timeout) }, nil
	case mayOpen(h.first) != nil:
		log.Warn().Msg("there is no watchdog device: what the silence of this host proves is nothing")
		return nil, nil
	}
	var once sync.Once
	return func(timeout time.Duration) (watchdog.Device, error) {
		d, err := h.device(h.first, timeout)
		if d == nil && err != nil {
			// It was to be had if it could be; the deadline is guarded without.
			once.Do(func() { log.Warn().Err(err).Msg("it is guarded without a watchdog device") })
			return nil, nil
		}
		return d, err
	}, nil
}

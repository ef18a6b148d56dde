package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// The watchdog's files in the folder of --state-dir, beside fenceFile.
const (
	socketFile = "watchdog.sock"
	logFile    = "watchdog.log"
)

// guarded gives a node its watchdog, as the settings ask for it and this host can have
// it, and says why the host was ended before this boot. release lets go of the watchdog,
// which goes on.
func (a *app) guarded(ctx context.Context, cfg *node.Config, s *config.Settings) (release func(), err error) {
	tellFence(filepath.Join(s.StateDir, fenceFile), cfg.Boot, cfg.Log)
	state, err := filepath.Abs(s.StateDir) // a watchdog works in another folder
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(state, socketFile)
	device, err := a.guards(cfg, s)
	if err != nil {
		return nil, err
	}
	found, runs := running(ctx, socket)
	if device == "" {
		return func() {}, mayLeave(found)
	}
	if err := mayUse(found, runs, s.FenceAction); err != nil {
		return nil, err
	}
	if err := watchdog.CheckSocket(socket); err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	keeper := watchdog.NewKeeper(watchdog.KeeperConfig{
		Socket: socket, Log: filepath.Join(state, logFile), Patience: min(time.Second, cfg.Timings.Interval),
		Command: append([]string{exe}, watchdogArgs(state, device, s)...),
	})
	h := a.host()
	facts := h.facts()
	cfg.Guard = &node.Guard{Watchdog: keeper, Action: s.FenceAction, Unproved: func(st watchdog.State, most, now time.Duration) string {
		if s.Accept {
			return watchdog.Accepted(st, now)
		}
		return watchdog.Unproved(st, facts, most, now)
	}}
	settled := func() {}
	if runs && found.Version != Version {
		settled = upgraded(found, exe, func(path string) (watchdog.State, error) { return h.upgrade(keeper, path) }, cfg.Log)
	}
	return func() {
		settled()
		_ = keeper.Close() // the watchdog and its deadline stay
	}, nil
}

// watchdogArgs is the command line of a watchdog that the daemon starts. It reads no file
// of settings: it is told all that counts, and what has become of the file is no reason
// not to guard.
func watchdogArgs(state, device string, s *config.Settings) []string {
	return []string{"watchdog", "--config=", "--state-dir", state, "--node-name", s.NodeName, "--device", device, "--fence-action", s.FenceAction}
}

// guards decides whether a node is to have a watchdog, and with which device of the
// kernel: deviceNone is without one, "" is no watchdog.
func (a *app) guards(cfg *node.Config, s *config.Settings) (device string, err error) {
	if cfg.Driver == nil || s.Role == ledger.RoleWitness || s.Mode == node.ModeDisabled {
		return "", nil // nothing runs here
	}
	cfg.ProofRequired = s.Watchdog == config.WatchdogRequired
	selfStop := s.Driver != nil && s.Driver.SelfStop
	if selfStop && slices.Contains([]string{config.WatchdogAuto, config.WatchdogRequired, config.WatchdogOff}, s.Watchdog) {
		return "", nil // its VMs prove it, and nothing else is asked for
	}
	device, why, err := a.provable(s)
	switch {
	case err != nil:
		return "", err
	case why == "" || s.Accept:
		return device, nil
	}
	logs := s.FenceAction == node.FenceLog
	if !selfStop {
		cfg.WhyUnproved = why
		if s.Watchdog != config.WatchdogOff && !logs {
			cfg.WhyUnproved += "; or, if you vouch for this host: --accept-unproved"
		}
		cfg.Log.Info().Str("why", why).Msg("the silence of this node proves nothing: its VMs fail over by its own word or an operator's")
	}
	if logs && s.Watchdog != config.WatchdogOff {
		return deviceNone, nil // it is told when the host would have been ended
	}
	return "", nil
}

// provable gives the device of the kernel that may guard this host, deviceNone if there is
// none, and why the host's silence proves nothing with it, "" if it may; what is said of
// the device itself only arming it tells. An error is of a device that is asked for and
// cannot be had.
func (a *app) provable(s *config.Settings) (device, why string, err error) {
	if s.Watchdog == config.WatchdogOff {
		return deviceNone, "--watchdog off", nil
	}
	if a.host == nil {
		return deviceNone, "", errUnguarded
	}
	h := a.host()
	if s.Watchdog == config.WatchdogProcess {
		device, why = deviceNone, "--watchdog process: a process alone ends no host whose kernel hangs"
	} else if device, why, err = h.finds(s.Watchdog); err != nil {
		return deviceNone, "", err
	}
	if s.FenceAction == node.FenceLog {
		return deviceNone, "--fence-action log: nothing is done at a deadline", nil
	}
	if hopeless := watchdog.Hopeless(h.facts()); hopeless != "" {
		why = strings.TrimPrefix(why+"; "+hopeless, "; ")
	}
	return device, why, nil
}

// finds looks for the device that --watchdog asks for.
func (h host) finds(setting string) (device, why string, err error) {
	path := h.first
	if filepath.IsAbs(setting) {
		path = setting
	}
	if h.device == nil || path == "" {
		err = errors.New("no watchdog device may be opened from here")
	} else if err = mayOpen(path); err == nil {
		return path, "", nil
	}
	if setting != config.WatchdogAuto {
		return deviceNone, "", fmt.Errorf("--watchdog %s: %w", setting, err)
	}
	return deviceNone, fmt.Sprintf("there is no watchdog device that may be opened: %v", err), nil
}

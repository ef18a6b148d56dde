package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

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
// it, and says why the host was ended before this boot. end lets go of the watchdog, which
// goes on.
func (a *app) guarded(cfg *node.Config, s *config.Settings) (end func(), err error) {
	tellFence(filepath.Join(s.StateDir, fenceFile), cfg.Boot, cfg.Log)
	end = func() {}
	device, why := a.device(s)
	cfg.ProofRequired = s.Watchdog == config.WatchdogRequired
	switch {
	case cfg.Driver == nil || s.Role == ledger.RoleWitness || s.Mode == node.ModeDisabled:
		return end, nil
	case s.Watchdog == config.WatchdogOff:
		cfg.WhyUnproved = "--watchdog off"
		return end, nil
	case s.Watchdog == config.WatchdogAuto && s.Driver.SelfStop:
		return end, nil // its VMs prove it
	case why != "" && s.Watchdog != config.WatchdogAuto && s.Watchdog != config.WatchdogProcess && device == deviceNone:
		return end, fmt.Errorf("--watchdog %s: %s", s.Watchdog, why)
	}
	if s.FenceAction != node.FenceLog && !s.Accept && why != "" {
		cfg.WhyUnproved = why + "; or, if you vouch for this host: --accept-unproved"
		cfg.Log.Info().Str("why", why).Msg("the silence of this node proves nothing: its VMs fail over by its own word, an agent's or an operator's")
		return end, nil
	}
	exe, err := os.Executable()
	if err != nil {
		return end, err
	}
	socket := filepath.Join(s.StateDir, socketFile)
	if err := mayUse(socket, s.FenceAction); err != nil {
		return end, err
	}
	keeper := watchdog.NewKeeper(watchdog.KeeperConfig{
		Socket: socket, Log: filepath.Join(s.StateDir, logFile), Patience: min(time.Second, cfg.Timings.Interval),
		Command: []string{exe, "watchdog", "--state-dir", s.StateDir, "--node-name", s.NodeName, "--device", device, "--fence-action", s.FenceAction},
	})
	host := watchdog.ThisHost()
	cfg.Guard = &node.Guard{Watchdog: keeper, Action: s.FenceAction, Unproved: func(st watchdog.State, most, now time.Duration) string {
		if s.Accept {
			return watchdog.Accepted(st, now)
		}
		return watchdog.Unproved(st, host, most, now)
	}}
	return func() { _ = keeper.Close() }, nil // the watchdog and its deadline stay
}

// device is the kernel's watchdog that this host is to use, deviceNone if it is to have
// none, and why it could prove nothing, "" if it may.
func (a *app) device(s *config.Settings) (device, why string) {
	if a.host == nil {
		return deviceNone, "no watchdog may be run from here"
	}
	h := a.host()
	host := watchdog.ThisHost()
	path := h.first
	switch {
	case s.FenceAction == node.FenceLog:
		return deviceNone, "--fence-action log"
	case s.Watchdog == config.WatchdogProcess:
		return deviceNone, "--watchdog process: a process alone ends no host whose kernel hangs"
	case filepath.IsAbs(s.Watchdog):
		path = s.Watchdog
	}
	if h.device == nil || path == "" {
		return deviceNone, "no watchdog device may be opened"
	}
	if err := unix.Access(path, unix.W_OK); err != nil {
		return deviceNone, fmt.Sprintf("there is no watchdog device that may be opened: %s: %v", path, err)
	}
	return path, watchdog.Hopeless(host)
}

// mayUse refuses a watchdog that is running already and would do something else at a
// deadline than what is asked for.
func mayUse(socket, action string) error {
	c, err := watchdog.Dial(context.Background(), socket)
	if err != nil {
		return nil //nolint:nilerr // none answers: it will be started
	}
	defer func() { _ = c.Close() }() // nothing is lost with it
	st, err := c.State()
	if err != nil {
		return nil //nolint:nilerr // it is the node that waits for it
	}
	if logs := st.Action == watchdog.ActionLog; logs != (action == node.FenceLog) {
		return fmt.Errorf("--fence-action %s: the watchdog that runs (process %d) has another: freeze the cluster, end it, and start this daemon anew", action, st.PID)
	}
	return nil
}

// tellFence says why this host was ended before this boot, once.
func tellFence(path, boot string, log zerolog.Logger) {
	f, err := watchdog.ReadFence(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		log.Warn().Err(err).Msg("why the host was ended last cannot be read")
	case f.Boot != boot:
		log.Warn().Time("then", f.Time).Str("by", f.By).Msg("this host was ended by its watchdog: " + f.Text)
		if err := os.Rename(path, path+".told"); err != nil {
			log.Warn().Err(err).Msg("it will be told again")
		}
	}
}

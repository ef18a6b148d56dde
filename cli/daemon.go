package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/google/renameio/v2"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/hoster-ha/hoster-ha/api"
	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/report"
	"github.com/hoster-ha/hoster-ha/vmctl/command"
)

// daemon is `hoster-ha` without a subcommand.
func (a *app) daemon(ctx context.Context) error {
	s := a.settings
	if err := s.Validate(); err != nil {
		return usageError{err}
	}
	log, err := logger(a.stderr, s)
	if err != nil {
		return usageError{err}
	}
	memory, err := local.OpenDir(s.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = memory.Close() }()
	cfg, err := nodeConfig(s, log)
	if err != nil {
		return err
	}
	cfg.Memory, cfg.Report = memory, report.In(s.StateDir)
	release, err := a.guarded(ctx, &cfg, s)
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A start that fails minds what an earlier daemon has left armed.
	fails := func(err error) error {
		cfg.Store = unopened{err}
		return node.New(cfg).Run(ctx)
	}
	store, err := s.Store()
	if err != nil {
		return fails(err)
	}
	defer func() { _ = persistence.Close(store) }() // nothing is lost with a connection
	cfg.Store = store
	listener, err := api.Listen(ctx, s.Listen, !s.ListenGiven)
	if err != nil {
		return fails(fmt.Errorf("--listen %s: %w", s.Listen, err))
	}
	defer func() { _ = listener.Close() }()
	if cfg.URL == "" {
		cfg.URL = "http://" + listener.Addr().String() + "/"
	}
	if s.PidFile != "" {
		if err := renameio.WriteFile(s.PidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
			return fails(fmt.Errorf("--pid-file %s: %w", s.PidFile, err))
		}
		defer os.Remove(s.PidFile)
	}
	n := node.New(cfg)
	log.Info().Str("node", s.NodeName).Str("version", Version).Str("store", cfg.StoreURL).
		Str("listen", listener.Addr().String()).Int("pid", os.Getpid()).Msg("hoster-ha starts")
	if adviser, ok := store.(persistence.Advisor); ok {
		for _, text := range adviser.Advice(cfg.Timings.Renew) {
			log.Warn().Msg(text)
		}
	}

	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	served, end := context.WithCancel(gctx)
	g.Go(func() error {
		defer end()
		// A second signal ends the process at once, as signals do.
		context.AfterFunc(ctx, stop)
		return n.Run(ctx)
	})
	g.Go(func() error { return api.New(n, Version, log).Serve(served, listener) })
	if _, err := sd.SdNotify(false, sd.SdNotifyReady); err != nil {
		log.Warn().Err(err).Msg("systemd was not told")
	}
	err = g.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// nodeConfig makes the node's configuration from the settings; its store and
// memory are the caller's.
func nodeConfig(s *config.Settings, log zerolog.Logger) (node.Config, error) {
	address, err := s.StoreURL()
	if err != nil {
		return node.Config{}, usageError{err}
	}
	timings, err := s.Timings()
	if err != nil {
		return node.Config{}, usageError{err}
	}
	boot, err := local.BootID()
	if err != nil {
		return node.Config{}, err
	}
	cfg := node.Config{
		Name: s.NodeName, Role: s.Role, Priority: s.Priority, StoreURL: address,
		Timings: timings, TimingsGiven: s.TimingsGiven, Mode: s.Mode, Promotion: s.Promotion,
		OnStop: s.Stop(), GoingDown: goingDown, Join: s.Join, Debug: s.Debug, Expect: s.Expect, Grace: s.Grace,
		URL: s.URL, Version: Version, Boot: boot, Log: log.With().Str("node", s.NodeName).Logger(),
		Clock: node.Clock{Now: boottime.Now, Wall: time.Now},
	}
	host := command.Host{Node: s.NodeName}
	if s.Driver != nil && s.Driver.SelfStop {
		host.DeadlineFile, host.BootID = filepath.Join(s.StateDir, "deadline"), boot
	}
	if s.Driver != nil {
		if cfg.Driver, err = command.NewDriver(*s.Driver, host); err != nil {
			return node.Config{}, usageError{err}
		}
	}
	if s.Snapshots != nil {
		if cfg.Provider, err = command.NewProvider(*s.Snapshots, host); err != nil {
			return node.Config{}, usageError{err}
		}
	}
	return cfg, nil
}

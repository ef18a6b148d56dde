package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/persistence"
)

// patience is how long a command waits for one answer of the store.
const patience = 20 * time.Second

// openStore opens the store that the settings name.
func openStore(s *config.Settings) (persistence.Store, error) {
	if _, err := s.StoreURL(); err != nil {
		return nil, usageError{err}
	}
	return s.Store()
}

// store opens the store; neither that nor any call on it hangs for long.
func (a *app) store(ctx context.Context) (persistence.Store, error) {
	s, err := a.raw(ctx)
	if err != nil {
		return nil, err
	}
	return &patient{persistence.Lane(s, "command")}, nil
}

// raw opens the store itself, without a bound on its calls.
func (a *app) raw(ctx context.Context) (persistence.Store, error) {
	type opened struct {
		store persistence.Store
		err   error
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	done := make(chan opened, 1)
	// A mount that does not answer holds whoever opens it.
	go func() {
		s, err := a.open(a.settings)
		done <- opened{s, err}
	}()
	select {
	case o := <-done:
		return o.store, o.err
	case <-ctx.Done():
		return nil, exitError{ExitStore, fmt.Errorf("the store cannot be opened: %w", context.Cause(ctx))}
	}
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer in %s", patience))
}

// patient bounds each call on a store.
type patient struct{ persistence.Store }

func (p *patient) Get(ctx context.Context, key string) (persistence.Object, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return p.Store.Get(ctx, key)
}

func (p *patient) Create(ctx context.Context, key string, value []byte) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return p.Store.Create(ctx, key, value)
}

func (p *patient) List(ctx context.Context, folder string) ([]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return p.Store.List(ctx, folder)
}

func (p *patient) Delete(ctx context.Context, key string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return p.Store.Delete(ctx, key)
}

// Put is not among what commands do to a cluster.
func (p *patient) Put(_ context.Context, key string, _ []byte) error {
	return &persistence.Error{Op: "put", Key: key, Err: errors.ErrUnsupported}
}

// Now implements persistence.Clock where the store does.
func (p *patient) Now(ctx context.Context) (time.Time, error) {
	clock, ok := p.Store.(persistence.Clock)
	if !ok {
		return time.Time{}, &persistence.Error{Op: "time", Key: "/", Err: errors.ErrUnsupported}
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return clock.Now(ctx)
}

// cluster opens the store and reads the newest entry.
func (a *app) cluster(ctx context.Context) (*clusterview.Cluster, error) {
	s, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	return clusterview.Open(ctx, s)
}

// look reads the cluster and all its members.
func (a *app) look(ctx context.Context) (*clusterview.View, error) {
	c, err := a.cluster(ctx)
	if err != nil {
		return nil, err
	}
	return c.Look(ctx)
}

// completeNodes offers the names of the members, if they can be had at once.
func (a *app) completeNodes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	s, err := config.Load(cmd.Flags())
	if err != nil {
		return nil, none
	}
	a.settings = s
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	c, err := a.cluster(ctx)
	if err != nil {
		return nil, none
	}
	return names(c.Ledger.Tail().State.Members), none
}

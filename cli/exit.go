package cli

import (
	"context"
	"errors"

	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/local"
)

// Exit codes of all commands but check, which has those of Nagios plugins.
const (
	ExitOK      = 0
	ExitFailed  = 1 // something went wrong while running
	ExitUsage   = 2 // wrong flags, settings or names
	ExitStore   = 3 // the store cannot be used: missing, read-only, full, lying
	ExitCluster = 4 // another cluster, none where one must be, a damaged history
	ExitName    = 5 // the node's name or its local memory is somebody else's
	ExitRefused = 6 // the master, or the state of the cluster, refuses what was asked
	ExitTimeout = 7 // nobody answered in time
)

// usageError is a mistake in what was asked for.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }

func (e usageError) Unwrap() error { return e.err }

// exitError carries an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }

func (e exitError) Unwrap() error { return e.err }

// ExitCode is the exit code of an error.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return ExitUsage
	}
	if _, ok := errors.AsType[*local.LockedError](err); ok {
		return ExitName
	}
	if _, ok := errors.AsType[*ledger.HistoryError](err); ok {
		return ExitCluster
	}
	switch {
	case errors.Is(err, node.ErrName):
		return ExitName
	case errors.Is(err, node.ErrCluster):
		return ExitCluster
	case errors.Is(err, node.ErrSettings), errors.Is(err, node.ErrMode):
		return ExitRefused
	case errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout
	case errors.Is(err, persistence.ErrRefused):
		return ExitStore
	}
	if _, ok := errors.AsType[*persistence.Error](err); ok {
		return ExitStore
	}
	return ExitFailed
}

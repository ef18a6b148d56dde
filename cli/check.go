package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	nagios "github.com/atc0005/go-nagios"
	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// seconds is a flag in seconds, or with a unit; 0 is not given.
type seconds time.Duration

func (s *seconds) String() string { return time.Duration(*s).String() }

// Type implements pflag.Value.
func (s *seconds) Type() string { return "seconds" }

// Set implements pflag.Value.
func (s *seconds) Set(v string) error {
	d, err := time.ParseDuration(v)
	if f, ferr := strconv.ParseFloat(v, 64); ferr == nil {
		d, err = time.Duration(f*float64(time.Second)), nil
	}
	if err != nil || d <= 0 || d > 365*24*time.Hour {
		return errors.New("a number of seconds above 0")
	}
	*s = seconds(d)
	return nil
}

func checkCommand(a *app) *cobra.Command {
	warn, crit, deadline := seconds(0), seconds(0), seconds(patience)
	cmd := &cobra.Command{
		Use: "check", Short: "Check the cluster, as a Nagios plugin",
		Long: `Checks the cluster as its store tells it, and prints one line with performance
data. Where a heartbeat looks old it is watched for up to two intervals, to see
whether it moves; the clocks of the hosts do not matter.

Exit codes are those of Nagios plugins:
  0  OK
  1  WARNING: a node is dead, unreadable or fenced; a failover is under way; a
     VM does not run; the cluster is frozen, not armed or in debug mode; an alarm
  2  CRITICAL: no master, or its lease is too old; a failover waits for a proof;
     a VM cannot be placed; a conflict; a damaged history
  3  UNKNOWN: wrong flags or settings, or the store cannot be read`,
		// Nagios reads standard output, and would take exit code 2 for CRITICAL.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return a.unknown(err)
			}
			return nil
		},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.unknown(fmt.Errorf("unexpected argument %q", args[0]))
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return a.unknown(err) })
	cmd.Flags().VarP(&warn, "warning", "w", "WARNING from this age of the master's lease (default: the renew deadline)")
	cmd.Flags().VarP(&crit, "critical", "c", "CRITICAL from this age of the master's lease (default: the renew deadline and the margin)")
	cmd.Flags().VarP(&deadline, "deadline", "t", "UNKNOWN when the store has not answered by then")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if warn > 0 && crit > 0 && warn > crit {
			return a.unknown(fmt.Errorf("--warning %s is longer than --critical %s", warn.String(), crit.String()))
		}
		ctx, cancel := context.WithTimeoutCause(cmd.Context(), time.Duration(deadline),
			fmt.Errorf("no answer in %s", deadline.String()))
		defer cancel()
		v, err := a.look(ctx)
		if err != nil {
			return a.unreadable(err)
		}
		return a.verdict(judge(v, time.Duration(warn), time.Duration(crit)))
	}
	return cmd
}

func (a *app) unknown(err error) error { return a.say(nagios.StateUNKNOWNExitCode, err.Error(), "") }

// unreadable: a damaged history is the cluster's trouble; what else cannot be
// read says nothing about the cluster.
func (a *app) unreadable(err error) error {
	_, damaged := errors.AsType[*ledger.HistoryError](err)
	if damaged || errors.Is(err, node.ErrCluster) && !errors.Is(err, clusterview.ErrNone) {
		return a.say(nagios.StateCRITICALExitCode, err.Error(), "")
	}
	return a.unknown(err)
}

func (a *app) verdict(f *findings) error {
	code, texts := nagios.StateOKExitCode, []string{f.summary}
	switch {
	case len(f.critical) > 0:
		code, texts = nagios.StateCRITICALExitCode, append(f.critical, f.warning...)
	case len(f.warning) > 0:
		code, texts = nagios.StateWARNINGExitCode, f.warning
	}
	return a.say(code, strings.Join(texts, "; "), f.perfdata())
}

// say prints the one line of a plugin.
func (a *app) say(code int, text, perfdata string) error {
	// A bar begins performance data.
	line := "HA " + nagios.ExitCodeToStateLabel(code) + " - " + strings.ReplaceAll(oneLineOf(text), "|", "/")
	if perfdata != "" {
		line += " | " + perfdata
	}
	fmt.Fprintln(a.stdout, line)
	return exitError{code, errQuiet}
}

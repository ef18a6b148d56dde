package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// timingsJSON is what timings -o json prints, in seconds.
type timingsJSON struct {
	Interval  float64 `json:"interval"`
	Timeout   float64 `json:"timeout"`
	Renew     float64 `json:"renew_deadline"`
	StopGrace float64 `json:"stop_grace"`
	Kill      float64 `json:"kill"`
	Watchdog  float64 `json:"watchdog"`
	Margin    float64 `json:"margin"`
	Frozen    bool    `json:"frozen"`
}

func timingsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "timings", Short: "Show or change the cluster's timings", Args: args(0, 0),
		Long: `Shows the cluster's timings. With --set it asks for others: a takeover timeout,
an interval, or both; all others follow from these. They change only while the
cluster is frozen. See timeline for what they mean.`,
	}
	out := outputFlag(cmd)
	o := askingFlags(cmd)
	set := cmd.Flags().Bool("set", false, "ask for other timings")
	timeout := cmd.Flags().Duration("timeout", 0, "with --set: takeover timeout")
	interval := cmd.Flags().Duration("interval", 0, "with --set: between heartbeats")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given := cmd.Flags().Changed("timeout") || cmd.Flags().Changed("interval")
		switch {
		case *set && !given:
			return usageError{fmt.Errorf("--set: give --timeout, --interval or both")}
		case !*set && given:
			return usageError{fmt.Errorf("--timeout and --interval go with --set")}
		case *set:
			r := &record.Request{Action: record.ActTimings}
			return a.ask(cmd, o, r, func(c *clusterview.Cluster) error {
				now := c.Ledger.Tail().State.Timings
				if !cmd.Flags().Changed("timeout") {
					*timeout = now.Timeout
				}
				if !cmd.Flags().Changed("interval") {
					*interval = now.Interval
				}
				t, err := lease.NewTimings(*timeout, *interval)
				if err != nil {
					return usageError{fmt.Errorf("--timeout %s --interval %s: %w", *timeout, *interval, err)}
				}
				r.Timings = &t
				return nil
			})
		}
		c, err := a.cluster(cmd.Context())
		if err != nil {
			return err
		}
		s := c.Ledger.Tail().State
		if out.json() {
			t := s.Timings
			return printJSON(a.stdout, timingsJSON{
				t.Interval.Seconds(), t.Timeout.Seconds(), t.Renew.Seconds(), t.StopGrace.Seconds(),
				t.Kill.Seconds(), t.Watchdog.Seconds(), t.Margin.Seconds(), s.Frozen,
			})
		}
		return a.printTimings(s.Timings)
	}
	return cmd
}

func (a *app) printTimings(t lease.Timings) error {
	rows := newTable(a.stdout, "", "LENGTH", "MEANING")
	for _, r := range []struct {
		name, meaning string
		d             time.Duration
	}{
		{"I", "interval between heartbeats", t.Interval},
		{"T", "takeover timeout", t.Timeout},
		{"D", "renew deadline: the lease ends", t.Renew},
		{"S", "stop grace for VMs after that", t.StopGrace},
		{"K", "to kill and verify after that", t.Kill},
		{"W", "of the watchdog device after that", t.Watchdog},
		{"M", "margin", t.Margin},
	} {
		rows.row(r.name, r.d, r.meaning)
	}
	return rows.flush()
}

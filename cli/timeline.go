package cli

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/lease"
)

// step is one row of a timeline.
type step struct {
	at   time.Duration
	name string // in terms of the timings
	what string
}

// timeline is the worst case, by the takeover timeout and all that follows from
// it: the last renewal of a node, and what becomes of it and its VMs. Times are
// since that renewal was dated.
func timeline(t lease.Timings) []step {
	d, s, k, w, m := t.Renew, t.StopGrace, t.Kill, t.Watchdog, t.Margin
	over := d + s + k
	steps := []step{
		{0, "0", "the node's last renewal is dated, before it is sent"},
		{t.Interval, "I", "the next one fails, or is not sent any more"},
		{d, "D", "the node's lease ends: its gate shuts, nothing starts there; where its silence is to prove something it begins to stop its VMs"},
		{d + m, "D+M", "others call it SUSPECT: its lease is certainly over"},
		{d + s, "D+S", "such a node kills what still runs"},
		{over, "D+S+K", "everything is verified stopped there, or the host is reset"},
	}
	if w > 0 {
		steps = append(steps, step{over + w, "D+S+K+W", "its watchdog device has reset it at the latest"})
	}
	steps = append(steps,
		step{t.Timeout, "T", "others call it STALE: what it proves is proved; a standby claims the mastership if it was the master"},
		step{t.Timeout + t.Interval, "T+I", "the claim at the latest, of a standby that had read the last heartbeat late; one of rank r waits r·I more"},
		step{t.Timeout + 2*t.Interval, "T+2I", "the master journals the failover, with the proof if there is one; without one it waits for it"},
		step{t.Timeout + 3*t.Interval, "T+3I", "all hosts have told what they hold"},
		step{t.Timeout + 4*t.Interval, "T+4I", "each VM belongs to the host with its newest snapshot, and starts there"},
	)
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return steps
}

type stepJSON struct {
	Seconds float64 `json:"seconds"`
	Name    string  `json:"name"`
	What    string  `json:"what"`
}

func timelineCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "timeline", Short: "Show what happens when after a host has died", Args: args(0, 0),
		Long: `Shows second by second what happens after a host's last heartbeat, in the worst
case: with the cluster's timings, or others if --timeout or --interval is given
or there is no cluster to be read.

` + exits(ExitOK, ExitUsage),
	}
	out := outputFlag(cmd)
	cmd.Flags().Duration("timeout", lease.DefaultTimeout, "takeover timeout")
	cmd.Flags().Duration("interval", lease.DefaultInterval, "between heartbeats")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		t, source, err := a.timingsInForce(cmd)
		if err != nil {
			return err
		}
		steps := timeline(t)
		if out.json() {
			rows := []stepJSON{}
			for _, s := range steps {
				rows = append(rows, stepJSON{s.at.Seconds(), s.name, s.what})
			}
			return printJSON(a.stdout, rows)
		}
		fmt.Fprintf(a.stdout, "Timings of %s: timeout %s, interval %s.\n", source, t.Timeout, t.Interval)
		if t.Watchdog == 0 {
			fmt.Fprintf(a.stdout, "Below a timeout of %s no watchdog device is armed.\n", lease.MinDevice)
		}
		rows := newTable(a.stdout, "SECONDS", "AT", "WHAT HAPPENS")
		for _, s := range steps {
			rows.row(number(s.at), s.name, s.what)
		}
		return rows.flush()
	}
	return cmd
}

// timingsInForce are those on the command line, or the cluster's, or else what
// a daemon with these settings would found one with.
func (a *app) timingsInForce(cmd *cobra.Command) (t lease.Timings, source string, err error) {
	if _, err := a.settings.StoreURL(); err == nil && !cmd.Flags().Changed("timeout") && !cmd.Flags().Changed("interval") {
		c, err := a.cluster(cmd.Context())
		if err == nil {
			return c.Ledger.Tail().State.Timings, "cluster " + c.ID, nil
		}
		fmt.Fprintf(a.stderr, "hoster-ha: the cluster cannot be read, so these are not its timings: %s\n", oneLine(err))
	}
	if t, err = a.settings.Timings(); err != nil {
		return t, "", usageError{fmt.Errorf("--timeout %s --interval %s: %w", a.settings.Timeout, a.settings.Interval, err)}
	}
	return t, "the settings", nil
}

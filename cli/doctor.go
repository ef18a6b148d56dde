package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/doctor"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
)

// examination is how long all of it may take: a store that hangs is given up.
const examination = 15 * time.Minute

func doctorCommand(a *app) *cobra.Command {
	o := doctor.Options{Wall: time.Now}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Examine the store, before a cluster relies on it", Args: args(0, 0),
		Long: `Proves that the store keeps what the cluster's safety rests on, measures it against
the timings (the cluster's, or those given), and says what is set up badly. It may be
run beside a cluster: it writes below probe/ alone, and removes that again.

` + exits(ExitOK, ExitUsage, ExitStore),
	}
	out := outputFlag(cmd)
	cmd.Flags().IntVar(&o.Races, "races", 100, "races of 16 writers for a key")
	cmd.Flags().IntVar(&o.Samples, "samples", 100, "requests of each kind to measure")
	also := cmd.Flags().StringArray("also", nil, "another `ADDRESS` of the same store, such as another server of it: the races are run over all (repeatable)")
	cmd.Flags().Duration("timeout", lease.DefaultTimeout, "takeover timeout")
	cmd.Flags().Duration("interval", lease.DefaultInterval, "between heartbeats")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Races < 1 || o.Samples < 1 {
			return usageError{fmt.Errorf("--races %d --samples %d: at least 1", o.Races, o.Samples)}
		}
		ctx, cancel := context.WithTimeoutCause(cmd.Context(), examination, fmt.Errorf("the examination was not over in %s", examination))
		defer cancel()
		s, err := a.raw(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = persistence.Close(s) }() // nothing is lost with a connection
		if _, err := (&patient{persistence.Lane(s, "doctor")}).List(ctx, ""); err != nil {
			return err // it cannot be used at all
		}
		for _, address := range *also {
			other, _, err := a.at(ctx, address)
			if err != nil {
				return err
			}
			defer func() { _ = persistence.Close(other) }()
			o.Also = append(o.Also, other)
		}
		var source string
		if o.Timings, source, err = a.timingsInForce(cmd); err != nil {
			return err
		}
		var all []doctor.Finding
		well := doctor.Examine(ctx, s, o, func(f doctor.Finding) {
			all = append(all, f)
			if !out.json() {
				fmt.Fprintf(a.stdout, "%-7s  %-8s  %s\n", f.Verdict, f.What, oneLineOf(f.Text))
			}
		})
		if out.json() {
			if err := printJSON(a.stdout, all); err != nil {
				return err
			}
		}
		if !well {
			return exitError{ExitStore, fmt.Errorf("the store will not do, with the timings of %s", source)}
		}
		return nil
	}
	return cmd
}

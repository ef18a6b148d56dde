package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/doctor"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// examination is how long all of it may take: a store that hangs is given up.
const examination = 15 * time.Minute

func doctorCommand(a *app) *cobra.Command {
	o := doctor.Options{Wall: time.Now}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Examine the store and this host, before a cluster relies on them", Args: args(0, 0),
		Long: `Proves that the store keeps what the cluster's safety rests on, measures it against
the timings (the cluster's, or those given), and says what is set up badly; and whether
the VMs of this host would fail over by themselves. It may be run beside a cluster: it
writes below probe/ alone, and removes that again, and opens no watchdog device.

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
		tell := func(f doctor.Finding) {
			all = append(all, f)
			if !out.json() {
				fmt.Fprintf(a.stdout, "%-7s  %-8s  %s\n", f.Verdict, f.What, oneLineOf(f.Text))
			}
		}
		well := doctor.Examine(ctx, s, o, tell)
		tell(a.fencing(o.Timings))
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

// fencing says whether the silence of this host could prove that its VMs have ended, so
// that they fail over by themselves. It looks at the host and at the settings, and opens
// nothing: of a device that only is there it says no more.
func (a *app) fencing(t lease.Timings) doctor.Finding {
	s, f := a.settings, doctor.Finding{What: "fencing", Verdict: doctor.Warning}
	device, why, err := a.provable(s)
	switch {
	case s.Role == ledger.RoleWitness:
		f.Verdict, f.Text = doctor.OK, "a witness runs no VMs"
		return f
	case s.Driver != nil && s.Driver.SelfStop:
		f.Verdict, f.Text = doctor.OK, "the VMs of this host stop themselves where its lease has ended: its silence proves that"
		if a.host != nil && a.host().facts().Guest != "" {
			f.Verdict, f.Text = doctor.Warning, "this host is a guest, which can be paused: a driver with self_stop does not belong here"
		}
		return f
	case err != nil:
		f.Text = "the daemon will not start: " + err.Error()
		return f
	case why == "" && t.Watchdog <= 0:
		why = fmt.Sprintf("a takeover timeout of %s leaves a watchdog device no time: %s is the least", t.Timeout, lease.MinDevice)
	}
	switch {
	case why != "" && s.Accept:
		f.Text = why + ": its silence is taken for a proof all the same, by --accept-unproved"
	case why != "" && s.Watchdog == config.WatchdogRequired:
		f.Text = why + ": no VM starts on this host, by --watchdog required"
	case why != "":
		f.Text = why + ": the VMs of this host fail over only by its own word or an operator's"
	default:
		f.Verdict, f.Text = doctor.OK, device+" may be opened, and this host is no guest and cannot be suspended; whether the device is hardware and quick enough shows once it is armed, in status"
	}
	return f
}

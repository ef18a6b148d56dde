package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/demo"
)

// newDemoCmd is `hoster-ha demo`.
func newDemoCmd(a *app) *cobra.Command {
	o := demo.Options{Out: a.stdout}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a failover: three daemons, six small VMs, one machine, half a minute",
		Long: `Starts three daemons with two small VMs each on this machine, over a temporary
folder, kills the master, shows the takeover, and has the VMs' own records judged
by an independent checker. Ends and removes all that it started. It can reboot
nothing. Exit code 1 if anything is not as it must be.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("demo takes no arguments, and %q was given", args[0])}
			}
			return nil
		},
		// In place of the root's: what is set for a real node of this machine must not
		// reach the demonstration, its store least of all. Only flags count.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("config") {
				return usageError{fmt.Errorf("demo takes no --config: its daemons have files of their own")}
			}
			if o.Plant != "" && o.Plant != demo.PlantDoubleStart {
				return usageError{fmt.Errorf("--plant %q: only %s can be planted", o.Plant, demo.PlantDoubleStart)}
			}
			var s config.Settings
			s.PersistDir, _ = cmd.Flags().GetString("persist-dir")
			s.PersistURL, _ = cmd.Flags().GetString("persist-url")
			if s.PersistDir != "" || s.PersistURL != "" {
				var err error
				if o.Store, err = s.StoreURL(); err != nil {
					return usageError{err}
				}
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Plant, "plant", "", "break a rule on purpose, for the checker to find: "+demo.PlantDoubleStart)
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the cluster running to play with, until Ctrl-C")
	return cmd
}

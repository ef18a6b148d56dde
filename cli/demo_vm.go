package cli

import (
	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/demo/vm"
)

// newDemoVMCmd is `hoster-ha demo-vm`: the demonstration's VMs, and the commands
// by which the command driver reaches them.
func newDemoVMCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: vm.Command, Hidden: true, DisableFlagParsing: true,
		// In place of the root's: VMs have no settings.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := vm.Main(cmd.Context(), args, a.stdout, a.stderr); code != ExitOK {
				return exitError{code, errQuiet}
			}
			return nil
		},
	}
}

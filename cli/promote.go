package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func promoteCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "promote NODE", Short: "Make a node master", Args: args(1, 1), ValidArgsFunction: a.completeNodes,
		Long: `Makes a node master. The present master hands over; where there is none, the
node itself executes the request.

With --force the node claims at once, without waiting until the old master is
known to have ended. The ledger lets only one of them write, so nothing is
decided twice; but the old one may call itself master until it next reads the
store. VMs still wait for a proof that their host runs nothing: confirm-fenced.`,
	}
	o := askingFlags(cmd)
	force := cmd.Flags().Bool("force", false, "claim without waiting for the old master's end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *force {
			fmt.Fprintf(a.stderr, "hoster-ha: --force: %s claims although the old master may still live; it may answer as master until it next reads the store\n", args[0])
		}
		return a.ask(cmd, o, &record.Request{Action: record.ActPromote, Node: args[0], Force: *force}, nil)
	}
	return cmd
}

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/report"
)

func debugCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "debug on|off", Short: "Set the cluster's debug mode", Args: args(1, 1), ValidArgs: []string{"on", "off"},
		Long: `Sets the cluster's debug mode, in which everything is logged and nothing done: no
VM is started, stopped or failed over, no silence proves anything, no fence is
confirmed, and a daemon that would have been fenced exits. It changes only while
the cluster is frozen. When it ends, no VM starts before every member has said what
it runs; who runs a VM then owns it. See debug-report for what it has shown.`,
	}
	o := askingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] != "on" && args[0] != "off" {
			return usageError{fmt.Errorf("debug %q: on or off", args[0])}
		}
		return a.ask(cmd, o, &record.Request{Action: record.ActDebug, Debug: args[0] == "on"}, nil)
	}
	return cmd
}

func debugReportCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "debug-report", Short: "Show what a node of this host recorded", Args: args(0, 0),
		Long: `Shows what the daemon of a node on this host has recorded: how quickly the store
answered, gaps between its renewals, silences of the other nodes, leases lost and
failovers that debug mode kept from being made, how far replicas were behind, and
which takeover timeout would have been quiet. It reads a file in the node's local
memory, which the daemon writes once a minute and when it ends.

` + exits(ExitOK, ExitFailed, ExitUsage),
	}
	out := outputFlag(cmd)
	cmd.Flags().String("state-dir", "", "local memory of the node (default: of the node named)")
	cmd.Flags().String("node-name", "", "name of the node (default: host name)")
	cmd.RunE = func(*cobra.Command, []string) error {
		dir := a.settings.StateDir
		r, err := report.In(dir).Load()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", report.In(dir), err)
		case r == nil:
			return usageError{fmt.Errorf("--state-dir %s: there is no report: the daemon writes it once a minute and when it ends", dir)}
		}
		v := r.View()
		if out.json() {
			return printJSON(a.stdout, v)
		}
		for _, line := range v.Lines() {
			fmt.Fprintln(a.stdout, line)
		}
		return nil
	}
	return cmd
}

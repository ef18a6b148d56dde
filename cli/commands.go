package cli

import (
	"github.com/spf13/cobra"
)

// commands are all subcommands; cobra adds help and completion.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		statusCommand(a),
		checkCommand(a),
		historyCommand(a),
		promoteCommand(a),
		demoteCommand(a),
		priorityCommand(a),
		confirmFencedCommand(a),
		unfenceCommand(a),
		forgetCommand(a),
		freezeCommand(a),
		armCommand(a),
		debugCommand(a),
		debugReportCommand(a),
		timingsCommand(a),
		timelineCommand(a),
		doctorCommand(a),
		storeCommand(a),
		ledgerCommand(a),
		watchdogCommand(a),
		versionCommand(a),
		newDemoCmd(a),
		newDemoVMCmd(a),
	}
}

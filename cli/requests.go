package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func demoteCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "demote [NODE]", Short: "Make the master give the mastership up", Args: args(0, 1), ValidArgsFunction: a.completeNodes,
		Long: `Makes the master give its mastership up. Afterwards it holds back: it does not
claim again while another node can, until it is promoted. NODE is the master
unless given; naming it makes sure that no other master is demoted by mistake.`,
	}
	o := askingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := &record.Request{Action: record.ActDemote}
		if len(args) > 0 {
			r.Node = args[0]
			return a.ask(cmd, o, r, nil)
		}
		return a.ask(cmd, o, r, func(c *clusterview.Cluster) error {
			if r.Node = c.Ledger.Tail().State.Master; r.Node == "" {
				return exitError{ExitRefused, fmt.Errorf("there is no master to demote")}
			}
			return nil
		})
	}
	return cmd
}

func priorityCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "priority NODE N", Short: "Set a node's priority", Args: args(2, 2), ValidArgsFunction: a.completeNodes,
		Long: `Sets the priority of a node. Of several nodes that could become master, or be
given a VM, the one with the highest priority comes first; a master is not
replaced because of it. A negative number follows a double dash:

  hoster-ha priority NODE -- -5`,
	}
	o := askingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return usageError{fmt.Errorf("priority %q: a whole number", args[1])}
		}
		return a.ask(cmd, o, &record.Request{Action: record.ActPriority, Node: args[0], Priority: n}, nil)
	}
	return cmd
}

func unfenceCommand(a *app) *cobra.Command {
	return aboutNode(a, record.ActUnfence, "Let a node rejoin that was fenced too often",
		`Lets a node rejoin that stays fenced until an operator says so, because it was
fenced too often. It rejoins when it lives and has verified that it runs nothing.`)
}

func forgetCommand(a *app) *cobra.Command {
	return aboutNode(a, record.ActForget, "Remove a node from the cluster",
		`Removes a node from the cluster. It is refused while the node lives or owns VMs,
and unless it left by itself or is proved to run nothing (see confirm-fenced).`)
}

// aboutNode is a request that says no more than what it is about.
func aboutNode(a *app, action, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: action + " NODE", Short: short, Long: long, Args: args(1, 1), ValidArgsFunction: a.completeNodes,
	}
	o := askingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.ask(cmd, o, &record.Request{Action: action, Node: args[0]}, nil)
	}
	return cmd
}

func freezeCommand(a *app) *cobra.Command {
	return aboutCluster(a, record.ActFreeze, "Stop all automatic action",
		`Freezes the cluster: no VM is started, stopped or failed over by itself until
arm. VMs run on, and masters are still elected. Timings change only meanwhile.`)
}

func armCommand(a *app) *cobra.Command {
	return aboutCluster(a, record.ActArm, "Let the cluster start and fail over VMs",
		`Arms the cluster: from here on it starts VMs and fails them over. A new cluster,
a frozen one and one whose ledger was repaired wait for this.`)
}

func aboutCluster(a *app, action, short, long string) *cobra.Command {
	cmd := &cobra.Command{Use: action, Short: short, Long: long, Args: args(0, 0)}
	o := askingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.ask(cmd, o, &record.Request{Action: action}, nil)
	}
	return cmd
}

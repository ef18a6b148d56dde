package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func confirmFencedCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "confirm-fenced NODE", Short: "Say that a node certainly runs nothing", Args: args(1, 1), ValidArgsFunction: a.completeNodes,
		Long: `Says that a node certainly runs nothing: you have seen that it is switched off,
or you switched it off. Its VMs then start on other hosts.

If it does run them, they run twice and their disks part. Nothing checks your
word, except that a heartbeat newer than the one shown here voids it.`,
	}
	o := askingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := &record.Request{Action: record.ActConfirmFenced, Node: args[0]}
		return a.ask(cmd, o, r, func(c *clusterview.Cluster) error {
			if _, ok := c.Ledger.Tail().State.Members[r.Node]; !ok {
				return nil // ask tells
			}
			v, err := c.Look(cmd.Context())
			if err != nil {
				return err
			}
			if n := v.Nodes[r.Node]; n != nil {
				a.speakOf(r, n)
			}
			return nil
		})
	}
	return cmd
}

// speakOf names the incarnation and the heartbeat that the operator's word is
// about, and shows them.
func (a *app) speakOf(r *record.Request, n *clusterview.Node) {
	switch f := n.Member.Fence; {
	case n.Heartbeat != nil:
		r.Incarnation, r.Heartbeat = n.Heartbeat.Incarnation, n.Heartbeat.Seq
		age := "at an unknown time"
		if n.Age != nil {
			age = fmt.Sprintf("%s ago", round(*n.Age))
		}
		fmt.Fprintf(a.stdout, "%s: incarnation %s, heartbeat %d, written %s\n", r.Node, r.Incarnation, r.Heartbeat, age)
	case f != nil && f.Incarnation != "":
		// What lies there cannot be read: what the master saw last is meant.
		r.Incarnation, r.Heartbeat = f.Incarnation, f.Heartbeat
		fmt.Fprintf(a.stdout, "%s: %v; its fence speaks of incarnation %s, heartbeat %d\n", r.Node, n.Problem, r.Incarnation, r.Heartbeat)
	default:
		r.Incarnation = n.Member.Admitted
		fmt.Fprintf(a.stdout, "%s: %v; its admitted incarnation is %s\n", r.Node, n.Problem, r.Incarnation)
	}
}

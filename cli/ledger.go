package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

func ledgerCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ledger", Short: "Show, verify or repair the cluster's ledger",
		Long: "The ledger is the numbered chain of entries that holds what the cluster has decided.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("ledger: unknown command %q; one of show, verify, repair", args[0])}
			}
			return usageError{errors.New("ledger: one of show, verify, repair")}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(ledgerShowCommand(a), ledgerVerifyCommand(a), ledgerRepairCommand(a))
	return cmd
}

func ledgerShowCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [SEQ]", Short: "Show an entry as JSON, the newest unless its number is given", Args: args(0, 1),
		Long: "Shows one entry of the ledger as JSON, with its hash: the newest, or that of a number.\n\n" +
			exits(ExitOK, ExitUsage, ExitStore, ExitCluster),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		s, err := a.store(ctx)
		if err != nil {
			return err
		}
		c, err := clusterview.Identify(ctx, s)
		if err != nil {
			return err
		}
		last, err := ledger.Last(ctx, s)
		if err != nil {
			return err
		}
		seq := last
		if len(args) > 0 {
			if seq, err = strconv.ParseUint(args[0], 10, 64); err != nil || seq == 0 {
				return usageError{fmt.Errorf("entry %q: a number above 0", args[0])}
			}
		}
		e, err := ledger.Read(ctx, s, c.ID, seq)
		if errors.Is(err, persistence.ErrNotFound) {
			return usageError{fmt.Errorf("there is no entry %d; the newest is %d", seq, last)}
		}
		if err != nil {
			return err
		}
		return printJSON(a.stdout, struct {
			Hash string `json:"hash"`
			*ledger.Entry
		}{e.Hash, e.Entry})
	}
	return cmd
}

func ledgerVerifyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify", Short: "Read every entry and check the chain", Args: args(0, 0),
		Long: `Reads every entry of the ledger and checks that each continues the one before,
and that the members' heartbeats follow this very history.

` + exits(ExitOK, ExitUsage, ExitStore, ExitCluster),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		s, err := a.store(ctx)
		if err != nil {
			return err
		}
		c, err := clusterview.Identify(ctx, s)
		if err != nil {
			return err
		}
		w, err := ledger.Walk(ctx, s, c.ID)
		if err != nil {
			return err
		}
		problems, err := a.damage(ctx, c, w)
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Fprintln(a.stdout, oneLineOf(p))
		}
		if len(problems) > 0 {
			return exitError{ExitCluster, fmt.Errorf("the ledger is damaged; see: hoster-ha ledger repair")}
		}
		fmt.Fprintf(a.stdout, "the ledger is whole: %d entries up to number %d\n", w.Length, w.End.Seq)
		return nil
	}
	return cmd
}

// damage lists what is wrong with the ledger, by itself and against what the
// members' heartbeats say they have read.
func (a *app) damage(ctx context.Context, c *clusterview.Cluster, w *ledger.Survey) ([]string, error) {
	var problems []string
	told := map[string]bool{}
	for _, err := range w.Bad {
		problems = append(problems, err.Error())
		told[err.Key] = true
	}
	for _, key := range w.Aside {
		if !told[key] {
			problems = append(problems, key+" does not lie on the longest good chain")
		}
	}
	if w.End.Entry == nil {
		return append(problems, "there is no entry that can be read"), nil
	}
	left, err := c.Leftovers(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names(left.Nodes) {
		if hb := left.Nodes[name].Heartbeat; hb != nil && w.Conflicts(ledger.Mark{Seq: hb.LedgerSeq, Hash: hb.LedgerHash}) {
			problems = append(problems, fmt.Sprintf("%s has read another entry %d than lies here", name, hb.LedgerSeq))
		}
	}
	return problems, nil
}

package cli

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/transfer"
	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

func storeCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "store", Short: "Move a cluster to another store, take a copy of all that a store holds",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("store: unknown command %q; it has copy, export and import", args[0])}
			}
			return usageError{errors.New("store: it has copy, export and import")}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(storeCopyCommand(a), storeExportCommand(a), storeImportCommand(a))
	return cmd
}

func storeCopyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "copy FROM TO", Short: "Move a frozen cluster to another store", Args: args(2, 2),
		Long: `Moves the cluster to another store, which must be empty: FROM and TO are addresses
as --persist-url takes them, or folders. Freeze the cluster first (hoster-ha freeze):
the VMs run on meanwhile. The old store is closed by a last entry that names the
new one: a daemon that is left on it holds no lease and decides nothing more. Then
start every daemon anew with the new address, and: hoster-ha arm.

What was interrupted goes on when it is run again. There is no way back but a move
to a third place.

` + exits(ExitOK, ExitFailed, ExitUsage, ExitStore, ExitCluster, ExitRefused),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			w := a.way()
			var err error
			if w.From, _, err = a.at(ctx, args[0]); err != nil {
				return err
			}
			defer func() { _ = persistence.Close(w.From) }()
			if w.To, w.Address, err = a.at(ctx, args[1]); err != nil {
				return err
			}
			defer func() { _ = persistence.Close(w.To) }()
			return refused(transfer.Move(ctx, w))
		},
	}
}

// way is what all ways to another store have in common.
func (a *app) way() transfer.Way {
	return transfer.Way{
		By: operator(),
		Lane: func(s persistence.Store, purpose string) persistence.Store {
			return &patient{persistence.Lane(s, purpose)}
		},
		Say: func(format string, args ...any) { fmt.Fprintln(a.stdout, oneLineOf(fmt.Sprintf(format, args...))) },
	}
}

// at opens the store at an address.
func (a *app) at(ctx context.Context, address string) (persistence.Store, string, error) {
	there, err := stores.Normalize(address)
	if err != nil {
		return nil, "", usageError{err}
	}
	b := *a
	b.settings = &config.Settings{PersistURL: there}
	s, err := b.raw(ctx)
	return s, there, err
}

func refused(err error) error {
	if r, ok := errors.AsType[*transfer.Refusal](err); ok {
		return exitError{ExitRefused, r}
	}
	return err
}

func storeImportCommand(a *app) *cobra.Command {
	var word transfer.Word
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Bring the cluster of an export into an empty store", Args: args(1, 1),
		Long: `Brings the cluster of an export into the store that --persist-dir or --persist-url
names, which must be empty: for a cluster whose store is lost. It goes on from the
export with numbers far above it, so that whoever remembers more follows all the
same, with nobody admitted and nothing armed; no VM starts before every member has
said what it runs.

It must never be done while a daemon uses the old store: two clusters would decide
over the same VMs. Stop the daemon on every host, and say so with --all-stopped. Name
all members, also any that joined since: what they run the export does not know.

` + exits(ExitOK, ExitFailed, ExitUsage, ExitStore, ExitCluster, ExitRefused),
	}
	f := cmd.Flags()
	f.BoolVar(&word.AllStopped, "all-stopped", false, "every member's daemon is stopped, and none will use the old store again")
	f.StringSliceVar(&word.Members, "members", nil, "all `HOSTS` that were members, also those that joined since the export")
	f.BoolVar(&word.Damaged, "damaged", false, "go on from what can be read of a damaged export")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		address, err := a.settings.StoreURL()
		if err != nil {
			return usageError{err}
		}
		z, err := zip.OpenReader(args[0])
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", args[0], err)}
		}
		defer func() { _ = z.Close() }()
		w := a.way()
		w.Address = address
		p, err := transfer.Unpack(&z.Reader)
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", args[0], err)}
		}
		if w.To, err = a.raw(ctx); err != nil {
			return err
		}
		defer func() { _ = persistence.Close(w.To) }()
		return refused(transfer.Import(ctx, w, p, word))
	}
	return cmd
}

func storeExportCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "export FILE", Short: "Write every record of the store into a zip", Args: args(1, 1),
		Long: `Writes every record, byte for byte, into a zip that must not exist yet (- is the
standard output), with export.json, which says what it is of. It may be taken of a
cluster that runs, and of one that is damaged. Nothing is written to the store.

` + exits(ExitOK, ExitFailed, ExitUsage, ExitStore),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			s, err := a.store(ctx)
			if err != nil {
				return err
			}
			address, err := a.settings.StoreURL()
			if err != nil {
				return usageError{err}
			}
			m := transfer.Manifest{Store: address, Time: time.Now(), Version: Version}
			if args[0] == "-" {
				m, err := transfer.Export(ctx, s, m, a.stdout)
				if err != nil {
					return err
				}
				return a.missing(m)
			}
			if _, err := os.Lstat(args[0]); err == nil {
				return usageError{fmt.Errorf("%s exists already", args[0])}
			}
			f, err := renameio.NewPendingFile(args[0], renameio.WithPermissions(0o600))
			if err != nil {
				return err
			}
			defer func() { _ = f.Cleanup() }()
			if m, err = transfer.Export(ctx, s, m, f); err != nil {
				return err
			}
			if err := f.CloseAtomicallyReplace(); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s: %d records of cluster %s, ledger %d\n", args[0], m.Records, m.Cluster, m.LedgerSeq)
			return a.missing(m)
		},
	}
}

// missing tells what could not be read.
func (a *app) missing(m transfer.Manifest) error {
	for _, text := range m.Problems {
		fmt.Fprintf(a.stderr, "hoster-ha: not in it: %s\n", oneLineOf(text))
	}
	if len(m.Problems) > 0 {
		return fmt.Errorf("%d records could not be read", len(m.Problems))
	}
	return nil
}

package cli

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence"
)

func storeCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "store", Short: "Take a copy of all that the store holds",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("store: unknown command %q; it has export", args[0])}
			}
			return usageError{errors.New("store: it has export")}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(storeExportCommand(a))
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
			if args[0] == "-" {
				m, err := export(ctx, s, address, a.stdout)
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
			m, err := export(ctx, s, address, f)
			if err != nil {
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
func (a *app) missing(m manifest) error {
	for _, text := range m.Problems {
		fmt.Fprintf(a.stderr, "hoster-ha: not in it: %s\n", oneLineOf(text))
	}
	if len(m.Problems) > 0 {
		return fmt.Errorf("%d records could not be read", len(m.Problems))
	}
	return nil
}

// manifest is export.json.
type manifest struct {
	Store      string    `json:"store"`
	Time       time.Time `json:"time"`
	Version    string    `json:"version"`
	Cluster    string    `json:"cluster,omitempty"`
	LedgerSeq  uint64    `json:"ledger_seq,omitempty"`
	LedgerHash string    `json:"ledger_hash,omitempty"`
	Records    int       `json:"records"`
	Problems   []string  `json:"problems,omitempty"` // records that are not in it, and why
}

// manifestName is no key of a store's: these have their own folders.
const manifestName = "export.json"

// export writes all records below the root but those of proofs.
func export(ctx context.Context, s persistence.Store, address string, to io.Writer) (manifest, error) {
	m := manifest{Store: address, Time: time.Now(), Version: Version}
	z := zip.NewWriter(to)
	put := func(name string, at time.Time, write func(io.Writer) error) error {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at})
		if err != nil {
			return err
		}
		return write(w)
	}
	err := walk(ctx, s, "", func(key string) error {
		o, err := s.Get(ctx, key)
		switch {
		case errors.Is(err, persistence.ErrNotFound):
			return nil // it was deleted meanwhile, as requests are
		case err != nil:
			m.Problems = append(m.Problems, err.Error())
			return context.Cause(ctx)
		}
		m.Records++
		return put(key, o.Modified, func(w io.Writer) error { _, err := w.Write(o.Value); return err })
	})
	if err != nil {
		return m, err
	}
	// What it is of, as far as that can be read.
	if c, err := clusterview.Open(ctx, s); err == nil {
		tail := c.Ledger.Tail()
		m.Cluster, m.LedgerSeq, m.LedgerHash = c.ID, tail.Seq, tail.Hash
	}
	if err := put(manifestName, m.Time, func(w io.Writer) error { return printJSON(w, m) }); err != nil {
		return m, err
	}
	return m, z.Close()
}

// walk visits every key below a folder.
func walk(ctx context.Context, s persistence.Store, folder string, visit func(key string) error) error {
	names, err := s.List(ctx, folder)
	if err != nil {
		return err
	}
	if folder != "" {
		folder += "/"
	}
	for _, name := range names {
		sub, isFolder := strings.CutSuffix(name, "/")
		switch {
		case folder == "" && sub == "probe":
		case isFolder:
			err = walk(ctx, s, folder+sub, visit)
		default:
			err = visit(folder + name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

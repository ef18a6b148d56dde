package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/persistence"
)

// app is what the commands share.
type app struct {
	stdout, stderr io.Writer
	settings       *config.Settings
	open           func(*config.Settings) (persistence.Store, error)
	host           func() host // what the watchdog may do to it; nil: nothing
}

// Main runs the command line and returns the exit code. args are without the
// program's name.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return (&app{stdout: stdout, stderr: stderr, open: openStore, host: thisHost}).main(ctx, args)
}

func (a *app) main(ctx context.Context, args []string) int {
	root := newRoot(a) //nolint:contextcheck // commands are given theirs by ExecuteContext
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		fmt.Fprintf(a.stderr, "hoster-ha: %s\n", oneLine(err))
	}
	return ExitCode(err)
}

// load puts the settings together for a command.
func (a *app) load(cmd *cobra.Command) error {
	s, err := config.Load(cmd.Flags())
	if err != nil {
		return usageError{err}
	}
	a.settings = s
	return nil
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "hoster-ha [flags]",
		Short: "A safe high-availability cluster for VMs on two or more hosts and a shared folder or bucket",
		Long: `hoster-ha keeps a lease in a shared folder or bucket. Without a subcommand it is
the daemon that runs on each host:

  hoster-ha --persist-dir /mnt/persist

The other commands work through that store alone.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; see: hoster-ha --help", args[0])}
			}
			return nil
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.load(cmd) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.daemon(cmd.Context()) },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	config.StoreFlags(root.PersistentFlags())
	config.DaemonFlags(root.Flags())
	root.AddCommand(commands(a)...)
	return root
}

// quiet is an error that was told already.
var errQuiet = errors.New("")

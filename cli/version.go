package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Version is set by -ldflags "-X github.com/hoster-ha/hoster-ha/cli.Version=…",
// or else found out from how the program was built.
var Version string

// unknownVersion is that of a build that does not know better.
const unknownVersion = "0.1.0-dev"

func init() {
	if Version != "" {
		return
	}
	Version = unknownVersion
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		Version = info.Main.Version
	}
}

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program", Args: args(0, 0),
		Long: "Shows the version of this program, and what it was built with.\n\n" + exits(ExitOK),
		// It needs no settings, so that broken ones do not keep it from answering.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(a.stdout, "hoster-ha %s (%s %s/%s)\n", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

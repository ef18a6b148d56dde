package cli

import (
	"context"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/vmctl/run"
)

// goingDown says whether systemd shuts this host down. Where it is not the service
// manager, or does not answer, nobody is known to.
func goingDown() bool {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// It exits with 1 for every state but "running", and says which.
	r, _ := run.Run(ctx, run.Command{Args: []string{"systemctl", "is-system-running"}}) //nolint:errcheck // what it says counts
	return strings.TrimSpace(r.Stdout) == "stopping"
}

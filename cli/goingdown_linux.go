package cli

import (
	"context"
	"errors"
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
	// It exits with 1 for every state but "running", and says which. What one said that
	// had to be ended is no answer.
	r, err := run.Run(ctx, run.Command{Args: []string{"systemctl", "is-system-running"}})
	e, failed := errors.AsType[*run.Error](err)
	return (!failed || e.BySelf()) && strings.TrimSpace(r.Stdout) == "stopping"
}

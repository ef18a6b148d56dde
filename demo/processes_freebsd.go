package demo

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// processes lists those of this program whose arguments name the folder.
func processes(ctx context.Context, exe, root string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "/bin/ps", "-axwwo", "pid=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("processes: %w", err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		_, command, _ := strings.Cut(line, " ")
		if args, ours := strings.CutPrefix(strings.TrimSpace(command), exe+" "); ours && strings.Contains(args, root) {
			found = append(found, line)
		}
	}
	return found, nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// asking are the flags of all commands that ask the master for something.
type asking struct {
	why  string
	wait time.Duration
}

func askingFlags(cmd *cobra.Command) *asking {
	o := &asking{}
	cmd.Flags().StringVar(&o.why, "why", "", "reason, kept in the history")
	cmd.Flags().DurationVar(&o.wait, "wait", 0, "wait this long for the answer, 0s not at all (default: twice the takeover timeout)")
	cmd.Long += "\n\n" + exits(ExitOK, ExitUsage, ExitStore, ExitCluster, ExitRefused, ExitTimeout)
	return o
}

// ask writes a request and waits for the entry that answers it. A node that it
// is about has to be a member.
func (a *app) ask(cmd *cobra.Command, o *asking, r *record.Request, fill func(c *clusterview.Cluster) error) error {
	if o.wait < 0 {
		return usageError{fmt.Errorf("--wait %s: not before now", o.wait)}
	}
	ctx := cmd.Context()
	c, err := a.cluster(ctx)
	if err != nil {
		return err
	}
	tail := c.Ledger.Tail()
	if tail.State.Closed {
		return node.Moved(tail)
	}
	if fill != nil {
		if err := fill(c); err != nil {
			return err
		}
	}
	if r.Node != "" {
		m, ok := tail.State.Members[r.Node]
		if !ok {
			return usageError{fmt.Errorf("no node %q in cluster %s; its nodes: %s", r.Node, c.ID, strings.Join(names(tail.State.Members), ", "))}
		}
		if r.Incarnation == "" {
			r.Incarnation = m.Admitted
		}
	}
	r.Cluster, r.ID, r.Seen, r.By, r.Why, r.Time = c.ID, record.NewID(), tail.Seq, operator(), o.why, time.Now()
	wait := o.wait
	if !cmd.Flags().Changed("wait") {
		wait = 2 * tail.State.Timings.Timeout
	}
	if err := create(ctx, c.Store, record.KindRequest, record.RequestKey(r.ID), r); err != nil {
		return err
	}
	if wait == 0 {
		fmt.Fprintf(a.stdout, "asked for, as request %s\n", r.ID)
		return nil
	}
	answer, err := a.await(ctx, c, r, wait)
	switch {
	case err != nil:
		return err
	case !answer.OK:
		return exitError{ExitRefused, fmt.Errorf("refused: %s", answer.Text)}
	}
	fmt.Fprintln(a.stdout, oneLineOf(answer.Text))
	return nil
}

// create makes a record that nobody else would make.
func create(ctx context.Context, s persistence.Store, kind, key string, v any) error {
	data, err := record.Seal(kind, v)
	if err != nil {
		return err
	}
	return persistence.Ensure(ctx, s, key, data)
}

// await follows the ledger until an entry answers the request. When nobody
// does, or the operator gives up, the request is taken back.
func (a *app) await(ctx context.Context, c *clusterview.Cluster, r *record.Request, wait time.Duration) (ledger.Answer, error) {
	interrupted, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	end := time.NewTimer(wait)
	defer end.Stop()
	tick := time.NewTicker(min(max(c.Ledger.Tail().State.Timings.Interval/4, 20*time.Millisecond), time.Second))
	defer tick.Stop()
	for {
		answer, found, err := answered(ctx, c, r)
		if _, damaged := errors.AsType[*ledger.HistoryError](err); damaged || found {
			return answer, err
		}
		// What the store does not answer now it may answer yet.
		select {
		case <-tick.C:
		case <-end.C:
			return a.takeBack(ctx, c, r, fmt.Sprintf("nobody answered within %s", wait))
		case <-interrupted.Done():
			return a.takeBack(ctx, c, r, "given up")
		}
	}
}

// answered looks for the answer in the entries that are new. It stands in the
// entry that names the request, and after it until the request is gone.
func answered(ctx context.Context, c *clusterview.Cluster, r *record.Request) (ledger.Answer, bool, error) {
	news, err := c.Ledger.Refresh(ctx)
	if err != nil {
		return ledger.Answer{}, false, fmt.Errorf("request %s was made, but its answer cannot be read: %w", r.ID, err)
	}
	for _, e := range append(news, c.Ledger.Tail()) {
		if answer, ok := e.State.Answers[r.ID]; ok {
			return answer, true, nil
		}
	}
	return ledger.Answer{}, false, nil
}

// takeBack deletes a request, so that it is not executed when nobody expects it
// any more, and looks once more whether it was before.
func (a *app) takeBack(ctx context.Context, c *clusterview.Cluster, r *record.Request, why string) (ledger.Answer, error) {
	deleted := c.Store.Delete(ctx, record.RequestKey(r.ID))
	answer, found, err := answered(ctx, c, r)
	if err != nil || found {
		return answer, err
	}
	if deleted != nil {
		return ledger.Answer{}, exitError{ExitTimeout, fmt.Errorf(
			"%s; request %s could not be taken back and may still be executed: %w", why, r.ID, deleted)}
	}
	return ledger.Answer{}, exitError{ExitTimeout, fmt.Errorf("%s; request %s was taken back", why, r.ID)}
}

// operator is who asks, for the history.
func operator() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if name == "" {
		name = fmt.Sprintf("uid %d", os.Getuid())
	}
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	who := name + "@" + host
	if by := os.Getenv("SUDO_USER"); by != "" && by != name {
		who += " (sudo by " + by + ")"
	}
	return who
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// tableEntries is how many entries a table shows unless told otherwise.
const tableEntries = 20

// event is one line of history -o json: an entry.
type event struct {
	Seq         uint64    `json:"seq"`
	Epoch       uint64    `json:"epoch"`
	Kind        string    `json:"kind"`
	Node        string    `json:"node"` // the writer
	Incarnation string    `json:"incarnation,omitempty"`
	Time        time.Time `json:"time"`
	By          string    `json:"by"`
	Why         string    `json:"why"`
	Touched     []string  `json:"touched,omitempty"`
	Requests    []string  `json:"requests,omitempty"`
	Aside       bool      `json:"aside,omitempty"` // a repair has set it aside
	Error       string    `json:"-"`
}

// damage is the line for an entry that is missing or cannot be read.
type damage struct {
	Seq   uint64 `json:"seq"`
	Error string `json:"error"`
	Aside bool   `json:"aside,omitempty"`
}

func historyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "history", Short: "Show who decided what, when and why", Args: args(0, 0),
		Long: `Shows the entries of the ledger, oldest first: who wrote them, who asked for
them, and why. An entry that cannot be read is shown with what is wrong with it,
and the others go on. With -o json each entry is an object on a line.

` + exits(ExitOK, ExitUsage, ExitStore, ExitCluster),
	}
	out := outputFlag(cmd)
	last := cmd.Flags().Int("last", 0, fmt.Sprintf("show the last `N` entries (default: %d in a table, all as json)", tableEntries))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case *last < 0, *last == 0 && cmd.Flags().Changed("last"):
			return usageError{fmt.Errorf("--last %d: a number of entries above 0", *last)}
		case *last == 0 && !out.json():
			*last = tableEntries
		}
		return a.history(cmd.Context(), *last, out.json())
	}
	return cmd
}

func (a *app) history(ctx context.Context, last int, asJSON bool) error {
	s, err := a.store(ctx)
	if err != nil {
		return err
	}
	c, err := clusterview.Identify(ctx, s)
	if err != nil {
		return err
	}
	// What repairs have set aside is known from the tail; without one all is
	// shown as it lies there.
	aside := map[string]bool{}
	if err := c.Ledger.Load(ctx, ledger.Mark{}); err == nil {
		if aside, err = ledger.Aside(ctx, s, c.Ledger.Tail()); err != nil {
			fmt.Fprintf(a.stderr, "hoster-ha: what was set aside is not known: %s\n", oneLine(err))
		}
	}
	p := a.eventPrinter(asJSON)
	before := uint64(0)
	for seq, err := range ledger.Numbers(ctx, s, last) {
		if err != nil {
			return errors.Join(p.flush(), err)
		}
		ev, err := readEvent(ctx, c, seq)
		if err != nil {
			return errors.Join(p.flush(), err)
		}
		ev.Aside = aside[ledger.Key(seq)]
		// A repair leaps over numbers; nothing else does.
		if before > 0 && seq > before+1 && ev.Kind != ledger.KindRepair && !ev.Aside {
			p.show(event{Seq: before + 1, Error: missing(before+1, seq-1)})
		}
		before = seq
		p.show(ev)
	}
	if err := p.flush(); err != nil {
		return err
	}
	if p.bad > 0 {
		return exitError{ExitCluster, fmt.Errorf("the ledger is damaged in %d places; see: hoster-ha ledger verify", p.bad)}
	}
	return nil
}

func missing(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("entry %d is missing", from)
	}
	return fmt.Sprintf("entries %d to %d are missing", from, to)
}

// readEvent reads one entry. What is wrong with the entry is told in the event;
// the error is the store's.
func readEvent(ctx context.Context, c *clusterview.Cluster, seq uint64) (event, error) {
	e, err := ledger.Read(ctx, c.Store, c.ID, seq)
	if h, ok := errors.AsType[*ledger.HistoryError](err); ok {
		return event{Seq: seq, Error: h.Error()}, nil
	}
	if err != nil {
		return event{}, err
	}
	return event{
		Seq: seq, Epoch: e.Epoch, Kind: e.Kind, Node: e.Node, Incarnation: e.Incarnation, Time: e.Time,
		By: e.By, Why: e.Why, Touched: e.Touched, Requests: e.Requests,
	}, nil
}

// eventPrinter prints events and counts those that tell of damage.
type eventPrinter struct {
	lines *json.Encoder // nil: a table
	table table
	bad   int
	err   error
}

func (a *app) eventPrinter(asJSON bool) *eventPrinter {
	if asJSON {
		lines := json.NewEncoder(a.stdout)
		lines.SetEscapeHTML(false)
		return &eventPrinter{lines: lines}
	}
	return &eventPrinter{table: newTable(a.stdout, "SEQ", "EPOCH", "TIME", "NODE", "BY", "KIND", "WHY")}
}

func (p *eventPrinter) show(ev event) {
	if ev.Error != "" && !ev.Aside {
		p.bad++
	}
	switch {
	case p.err != nil:
	case p.lines != nil && ev.Error != "":
		p.err = p.lines.Encode(damage{ev.Seq, ev.Error, ev.Aside})
	case p.lines != nil:
		p.err = p.lines.Encode(ev)
	case ev.Error != "":
		p.table.row(ev.Seq, "", "", "", "", "DAMAGED", note(ev, ev.Error))
	default:
		p.table.row(ev.Seq, ev.Epoch, when(ev.Time), ev.Node, ev.By, ev.Kind, note(ev, ev.Why))
	}
}

func note(ev event, text string) string {
	if ev.Aside {
		return "(set aside) " + text
	}
	return text
}

func (p *eventPrinter) flush() error {
	if p.lines == nil && p.err == nil {
		p.err = p.table.flush()
	}
	return p.err
}

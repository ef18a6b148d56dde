package transfer

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Unpack gives what an export holds as a store.
func Unpack(z *zip.Reader) (persistence.Store, error) {
	s := memory.New()
	for _, f := range z.File {
		if f.Name == ManifestName {
			continue
		}
		value, err := content(f)
		if err == nil {
			err = s.Put(context.Background(), f.Name, value)
		}
		if err != nil {
			return nil, fmt.Errorf("no export of a store: %s: %w", f.Name, err)
		}
	}
	return s, nil
}

func content(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	// The zip's own word on the size is not relied upon.
	value, err := io.ReadAll(io.LimitReader(r, persistence.MaxValue+1))
	return value, errors.Join(err, r.Close())
}

// Import brings the cluster of an export, From, into an empty store. One that was
// closed for this very address is opened as by a move. Of any other the operator has
// to say that every member's daemon is stopped, and that none will use the old store
// again: then the export's ledger is continued by a repair, so that what it makes lies
// above all that members remember, and nothing starts before all have reported.
func Import(ctx context.Context, w Way, allStopped bool) error {
	c, err := clusterview.Identify(ctx, w.From)
	if err != nil {
		return fmt.Errorf("the export: %w", err)
	}
	survey, err := ledger.Walk(ctx, w.From, c.ID)
	if err != nil {
		return err
	}
	if survey.End.Entry == nil {
		return refuse("the export has no ledger entry that can be read")
	}
	if s := survey.End.State; s.Closed && s.MovedTo == w.Address {
		return Move(ctx, w)
	}
	names, err := w.Lane(w.To, "import").List(ctx, "")
	if err != nil {
		return err
	}
	for _, n := range names {
		if n != "probe/" {
			return refuse("%s is not empty: it holds %s", w.Address, n)
		}
	}
	left, err := c.Leftovers(ctx)
	if err != nil {
		return err
	}
	e := repaired(survey, left, w.By)
	w.Say("cluster %s, ledger up to %d of %s; it goes on with entry %d", c.ID, survey.End.Seq, survey.End.Time.Format(time.RFC3339), e.Seq)
	if !allStopped {
		return refuse("nothing was written: stop the daemon on every host, make sure that none uses the old store again, then: --all-stopped")
	}
	if err := persistence.Prove(ctx, w.To); err != nil {
		return err
	}
	if err := w.copyEntries(ctx); err != nil {
		return err
	}
	data, err := record.Seal(record.KindEntry, e)
	if err != nil {
		return err
	}
	if err := persistence.Ensure(ctx, w.Lane(w.To, "import"), ledger.Key(e.Seq), data); err != nil {
		return err
	}
	if err := w.name(ctx, c); err != nil {
		return err
	}
	w.Say("cluster %s is at %s now: start the daemons with that address, see: hoster-ha status, then: hoster-ha arm", c.ID, w.Address)
	return nil
}

// repaired makes the entry that continues an export.
func repaired(survey *ledger.Survey, left *clusterview.Leftovers, by string) *ledger.Entry {
	e := survey.Repair(survey.End, left.Evidence())
	e.Node, e.By, e.Time = writer, by, time.Now()
	e.Why = fmt.Sprintf("import: continue entry %d of an export", e.PrevSeq)
	e.State.Closed, e.State.MovedTo = false, ""
	return e
}

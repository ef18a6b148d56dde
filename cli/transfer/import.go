package transfer

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Package is an export that was taken apart.
type Package struct {
	Store    persistence.Store // what it holds
	Manifest Manifest
	Problems []string // records that cannot be kept, and why
}

// Unpack takes an export apart. A record that no store would keep, such as a torn one,
// is left out and told.
func Unpack(z *zip.Reader) (*Package, error) {
	s := memory.New()
	p := &Package{Store: s}
	for _, f := range z.File {
		value, err := content(f)
		switch {
		case err != nil:
			return nil, fmt.Errorf("no export of a store: %s: %w", f.Name, err)
		case f.Name == ManifestName:
			if err := json.Unmarshal(value, &p.Manifest); err != nil {
				return nil, fmt.Errorf("no export of a store: %s: %w", f.Name, err)
			}
			continue
		}
		if err := persistence.CheckKey(f.Name); err != nil {
			return nil, fmt.Errorf("no export of a store: %w", err)
		}
		switch err := s.Create(context.Background(), f.Name, value); {
		case errors.Is(err, persistence.ErrExists):
			return nil, fmt.Errorf("no export of a store: %s stands there twice", f.Name)
		case err != nil:
			p.Problems = append(p.Problems, err.Error())
		}
	}
	if p.Manifest.Time.IsZero() {
		return nil, fmt.Errorf("no export of a store: it has no %s", ManifestName)
	}
	p.Problems = append(p.Problems, p.Manifest.Problems...)
	return p, nil
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

// Word is what the operator says for an import.
type Word struct {
	// AllStopped: every member's daemon is stopped, and none will use the old store again.
	AllStopped bool
	// Members are all hosts that were members, also those that joined since the export.
	Members []string
	// Damaged: the export is to be continued though not all of it can be read.
	Damaged bool
}

// Import brings the cluster of an export into an empty store. Its ledger is continued by
// a repair, so that what is made lies above all that members remember, and nothing
// starts before all of Word.Members have reported.
func Import(ctx context.Context, w Way, p *Package, word Word) error {
	w.From = p.Store
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
	left, err := c.Leftovers(ctx)
	if err != nil {
		return err
	}
	e := repaired(survey, left, w.By)
	w.Say("cluster %s, export of %s, ledger up to %d; it goes on with entry %d", c.ID, p.Manifest.Time.Format(time.RFC3339), survey.End.Seq, e.Seq)
	if err := w.agreed(p, survey, e, word); err != nil {
		return err
	}
	if err := w.empty(ctx); err != nil {
		return err
	}
	if err := persistence.Prove(ctx, w.To); err != nil {
		return err
	}
	ours := func(there ledger.Stored) bool { return same(there, e) }
	if err := w.copyEntries(ctx, ours, nil); err != nil {
		return err
	}
	if err := w.append(ctx, e); err != nil {
		return err
	}
	if err := w.name(ctx, c); err != nil {
		return err
	}
	w.Say("cluster %s is at %s now: start the daemons with that address, see: hoster-ha status, then: hoster-ha arm", c.ID, w.Address)
	return nil
}

// agreed holds the export against what the operator says of it, and takes the members
// into the entry that it does not know.
func (w *Way) agreed(p *Package, survey *ledger.Survey, e *ledger.Entry, word Word) error {
	var wrong []string
	wrong = append(wrong, p.Problems...)
	for _, b := range survey.Bad {
		wrong = append(wrong, b.Error())
	}
	for _, key := range survey.Aside {
		wrong = append(wrong, key+" does not lie on the longest good chain")
	}
	if m := p.Manifest; m.LedgerSeq != survey.End.Seq || m.LedgerHash != survey.End.Hash {
		wrong = append(wrong, fmt.Sprintf("it was taken at entry %d, and its longest good chain ends at %d", m.LedgerSeq, survey.End.Seq))
	}
	for _, text := range wrong {
		w.Say("damaged: %s", text)
	}
	known := slices.Sorted(maps.Keys(e.State.Members))
	w.Say("its members, all of which are waited for: %s", strings.Join(known, ", "))
	switch {
	case len(wrong) > 0 && !word.Damaged:
		return refuse("nothing was written: the export is damaged; take an older one, or, to go on from entry %d: --damaged", survey.End.Seq)
	case !word.AllStopped:
		return refuse("nothing was written: stop the daemon on every host, make sure that none uses the old store again, then: --all-stopped --members A,B,...")
	}
	for _, name := range known {
		if !slices.Contains(word.Members, name) {
			return refuse("nothing was written: --members does not name %s", name)
		}
	}
	for _, name := range word.Members {
		if err := persistence.CheckName(name); err != nil {
			return refuse("--members: %v", err)
		}
		// One that joined after the export may run what the export gives another.
		e.State.Repair[name] = true
	}
	return nil
}

// empty refuses a place that holds anything but a part of a ledger.
func (w *Way) empty(ctx context.Context) error {
	names, err := w.Lane(w.To, "import").List(ctx, "")
	if err != nil {
		return err
	}
	for _, n := range names {
		if n != "probe/" && n != ledger.Folder+"/" {
			return refuse("%s is not empty: it holds %s", w.Address, n)
		}
	}
	return nil
}

// append makes the entry that continues the export, or finds the one that an
// interrupted import of it has made.
func (w *Way) append(ctx context.Context, e *ledger.Entry) error {
	data, err := record.Seal(record.KindEntry, e)
	if err != nil {
		return err
	}
	to := w.Lane(w.To, "import")
	err = persistence.Ensure(ctx, to, ledger.Key(e.Seq), data)
	if !errors.Is(err, persistence.ErrExists) {
		return err
	}
	there, rerr := ledger.Read(ctx, to, e.Cluster, e.Seq)
	if rerr != nil || !same(there, e) {
		return refuse("%s holds another entry %d", w.Address, e.Seq)
	}
	return nil
}

// same says whether an entry continues the same export in the same way.
func same(there ledger.Stored, e *ledger.Entry) bool {
	return there.Seq == e.Seq && there.Kind == ledger.KindRepair && there.Cluster == e.Cluster && there.Prev == e.Prev &&
		maps.Equal(there.State.Repair, e.State.Repair)
}

// repaired makes the entry that continues an export.
func repaired(survey *ledger.Survey, left *clusterview.Leftovers, by string) *ledger.Entry {
	e := survey.Repair(survey.End, left.Evidence())
	e.Node, e.By, e.Time = writer, by, time.Now()
	e.Why = fmt.Sprintf("import: continue entry %d of an export", e.PrevSeq)
	e.State.Closed, e.State.MovedTo = false, ""
	return e
}

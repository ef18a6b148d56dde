package transfer

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence"
)

// Manifest is export.json in an export.
type Manifest struct {
	Store      string    `json:"store"`
	Time       time.Time `json:"time"`
	Version    string    `json:"version"`
	Cluster    string    `json:"cluster,omitempty"`
	LedgerSeq  uint64    `json:"ledger_seq,omitempty"`
	LedgerHash string    `json:"ledger_hash,omitempty"`
	Records    int       `json:"records"`
	Problems   []string  `json:"problems,omitempty"` // records that are not in it, and why
}

// ManifestName is no key of a store's: these have their own folders.
const ManifestName = "export.json"

// Export writes all records of a store into a zip, but those of proofs. The manifest
// comes with what is known of the store.
func Export(ctx context.Context, s persistence.Store, m Manifest, to io.Writer) (Manifest, error) {
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
	err = put(ManifestName, m.Time, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(m)
	})
	if err != nil {
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

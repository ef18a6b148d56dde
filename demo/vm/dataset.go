package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// snapshot is one entry of a dataset.
type snapshot struct {
	GUID    string    `json:"guid"`
	Created time.Time `json:"created"`
	Counter uint64    `json:"counter"`
}

// dataset is the index of a folder of snapshots, own or replica, in the order
// in which they were made or received. Only what stands in it is part of the
// dataset.
type dataset struct {
	// Generation is that of the newest prepare in the dataset's history: what
	// an owner of an older one still sends is refused.
	Generation uint64 `json:"generation"`
	// Prepared is the snapshot that the own disk was made from under that
	// generation; empty in a replica and in a disk that was created.
	Prepared  string     `json:"prepared,omitempty"`
	Snapshots []snapshot `json:"snapshots"`
}

func indexFile(dir string) string      { return filepath.Join(dir, "index.json") }
func snapFile(dir, guid string) string { return filepath.Join(dir, guid+".snap") }

// loadDataset reads a folder's index; a folder without one has no snapshots.
func loadDataset(dir string) (*dataset, error) {
	data, err := os.ReadFile(indexFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return &dataset{}, nil
	}
	if err != nil {
		return nil, err
	}
	var d dataset
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile(dir), err)
	}
	return &d, nil
}

func (d *dataset) store(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return writeAtomic(indexFile(dir), data)
}

func (d *dataset) find(guid string) int {
	return slices.IndexFunc(d.Snapshots, func(s snapshot) bool { return s.GUID == guid })
}

// common is how many snapshots two datasets begin with alike.
func (d *dataset) common(o *dataset) int {
	n := 0
	for n < min(len(d.Snapshots), len(o.Snapshots)) && d.Snapshots[n].GUID == o.Snapshots[n].GUID {
		n++
	}
	return n
}

// newAside names a folder for what one act sets aside; it is made when the
// first thing moves into it.
func (h Host) newAside(vm string) string {
	return h.path("aside", vm, ulid.Make().String())
}

// moveAside renames path to dir/as, if there is anything at path.
func moveAside(path, dir, as string) error {
	switch there, err := exists(path); {
	case err != nil:
		return err
	case !there:
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(dir, as))
}

// trim cuts a dataset after its first n snapshots and moves the others to
// aside/beyond. It writes what goes before it takes it out of the index, and
// moves the files last: a file left behind by a kill is outside every index and
// is still there.
func (d *dataset) trim(dir string, n int, aside string) error {
	gone := d.Snapshots[n:]
	if len(gone) == 0 {
		return nil
	}
	beyond := filepath.Join(aside, "beyond")
	if err := (&dataset{Generation: d.Generation, Snapshots: gone}).store(beyond); err != nil {
		return err
	}
	kept := dataset{Generation: d.Generation, Prepared: d.Prepared, Snapshots: d.Snapshots[:n:n]}
	if err := kept.store(dir); err != nil {
		return err
	}
	*d = kept
	for _, s := range gone {
		if err := os.Rename(snapFile(dir, s.GUID), snapFile(beyond, s.GUID)); err != nil {
			return err
		}
	}
	return nil
}

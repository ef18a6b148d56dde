package report

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// Name of the file in the state directory.
const Name = "debug-report.json"

// Every is how often it is written at most, but for once at the end.
const Every = time.Minute

// File keeps a report in a folder on a local disk.
type File string

// In is the file in a state directory.
func In(dir string) File { return File(filepath.Join(dir, Name)) }

// Load reads the report; nil is none.
func (f File) Load() (*Report, error) {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return Open(data)
}

// Save replaces the report, atomically.
func (f File) Save(r *Report) error {
	data, err := r.Seal()
	if err != nil {
		return err
	}
	return renameio.WriteFile(string(f), data, 0o600)
}

package integration

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// act is a record that a VM, or a command on its disk, has left.
type act struct {
	Kind       string `json:"kind"`
	VM         string `json:"vm"`
	Host       string `json:"host"`
	Boot       int64  `json:"boot_ns"`
	Counter    uint64 `json:"counter"`
	Generation uint64 `json:"generation"`
	GUID       string `json:"guid"`
}

func (a act) at() time.Duration { return time.Duration(a.Boot) }

// records are what was read of one file of evidence.
type records struct {
	read int64
	acts []act
}

// acts reads all records of some kinds, in the order of time.
func (l *lab) acts(kinds ...string) []act {
	l.tb.Helper()
	paths, err := filepath.Glob(filepath.Join(l.root, "evidence", "*", "*.jsonl"))
	if err != nil {
		l.tb.Fatal(err)
	}
	var all []act
	for _, path := range paths {
		r := l.evidence[path]
		if r == nil {
			r = &records{}
			l.evidence[path] = r
		}
		if err := r.more(path); err != nil {
			l.tb.Error(err)
		}
		for _, a := range r.acts {
			if slices.Contains(kinds, a.Kind) {
				all = append(all, a)
			}
		}
	}
	slices.SortFunc(all, func(a, b act) int { return cmp.Compare(a.Boot, b.Boot) })
	return all
}

// more reads what is new. Beats, which are many, are left to the checker.
func (r *records) more(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(r.read, io.SeekStart); err != nil {
		return err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	for text := range bytes.Lines(data) {
		if !bytes.HasSuffix(text, []byte{'\n'}) {
			break
		}
		r.read += int64(len(text))
		var a act
		if err := json.Unmarshal(text, &a); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if a.Kind != "beat" {
			r.acts = append(r.acts, a)
		}
	}
	return nil
}

// againstLedger holds what ran, and what it began from, against the ledger.
func (l *lab) againstLedger() []string {
	l.tb.Helper()
	j := judge(l.read())
	var faults []string
	for _, a := range l.acts("start", "prepare") {
		v, decided := j.owners[a.VM][a.Generation]
		switch {
		case !decided:
			faults = append(faults, fmt.Sprintf("%s: a %s on %s under generation %d, which nobody decided", a.VM, a.Kind, a.Host, a.Generation))
		case v.Owner != a.Host:
			faults = append(faults, fmt.Sprintf("%s: a %s on %s under generation %d, which belongs to %s", a.VM, a.Kind, a.Host, a.Generation, v.Owner))
		case a.Kind == "prepare" && v.Snapshot != a.GUID:
			faults = append(faults, fmt.Sprintf("%s: prepared on %s at %s, decided was %s", a.VM, a.Host, a.GUID, v.Snapshot))
		}
	}
	return faults
}

// newest asserts that each VM that was prepared since an instant was at the
// newest snapshot that any other host had received a while before.
func (l *lab) newest(since time.Duration, from string) {
	l.tb.Helper()
	replicas := l.acts("replica")
	for _, p := range l.acts("prepare") {
		if p.at() < since {
			continue
		}
		for _, r := range replicas {
			if r.VM == p.VM && r.Host != from && r.at() < p.at()-time.Second && r.Counter > p.Counter {
				l.tb.Errorf("%s was prepared on %s at counter %d, and %s had received %d", p.VM, p.Host, p.Counter, r.Host, r.Counter)
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

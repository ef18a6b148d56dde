package check

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// line is one record of evidence.
type line struct {
	Kind       string `json:"kind"`
	VM         string `json:"vm"`
	Host       string `json:"host"`
	PID        int    `json:"pid"`
	Boot       int64  `json:"boot_ns"`
	Counter    uint64 `json:"counter"`
	Generation uint64 `json:"generation"`
	GUID       string `json:"guid"`
}

func (l line) at() time.Duration { return time.Duration(l.Boot) }

// run is one life of a VM: from its start to its stop or, where it was killed,
// its last beat.
type run struct {
	host       string
	pid        int
	start, end time.Duration
	generation uint64
	counter    uint64 // found on the disk
	last       uint64
	stopped    bool
}

func (r run) String() string {
	return fmt.Sprintf("run of process %d on %s from %.3fs to %.3fs", r.pid, r.host, r.start.Seconds(), r.end.Seconds())
}

// history is everything that is known of one VM.
type history struct {
	runs     []run
	prepares []line
	made     []line // snapshots and replicas
	broken   []string
}

// copies are the different counters in the copies of each snapshot: host, VM, guid.
type copies map[[3]string][]uint64

// readHistories reads the evidence folder.
func readHistories(root string) (map[string]*history, error) {
	dir := filepath.Join(root, "evidence")
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	all := map[string]*history{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".jsonl") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		vm := filepath.Base(filepath.Dir(path))
		if all[vm] == nil {
			all[vm] = &history{}
		}
		all[vm].add(vm, filepath.Base(path), data)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	for _, h := range all {
		slices.SortFunc(h.runs, func(a, b run) int { return cmp.Compare(a.start, b.start) })
		slices.SortFunc(h.prepares, func(a, b line) int { return cmp.Compare(a.Boot, b.Boot) })
	}
	return all, nil
}

// add reads one file: one process's records. A last line without its end is
// still being written.
func (h *history) add(vm, name string, data []byte) {
	var r *run
	for text := range bytes.Lines(data) {
		if !bytes.HasSuffix(text, []byte{'\n'}) {
			break
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil || l.VM != vm || l.Host == "" || l.Boot <= 0 {
			h.broken = append(h.broken, fmt.Sprintf("%s: unreadable record %.80q", name, text))
			continue
		}
		switch l.Kind {
		case "start":
			if r != nil {
				h.runs = append(h.runs, *r)
			}
			r = &run{host: l.Host, pid: l.PID, start: l.at(), end: l.at(), generation: l.Generation, counter: l.Counter, last: l.Counter}
		case "beat", "stop":
			if r == nil || r.stopped || l.at() < r.end {
				h.broken = append(h.broken, fmt.Sprintf("%s: a %s outside of any run", name, l.Kind))
				continue
			}
			r.end, r.last, r.stopped = l.at(), l.Counter, l.Kind == "stop"
		case "prepare":
			h.prepares = append(h.prepares, l)
		case "snapshot", "replica":
			h.made = append(h.made, l)
		default:
			h.broken = append(h.broken, fmt.Sprintf("%s: unknown record %q", name, l.Kind))
		}
	}
	if r != nil {
		h.runs = append(h.runs, *r)
	}
}

// readCopies reads every snapshot file of every host: own, replica or aside.
// One whose checksum is wrong is no copy.
func readCopies(root string, into copies) error {
	for _, kind := range []string{"snapshots", "replicas", "aside"} {
		tops, err := filepath.Glob(filepath.Join(escape(root), "*", kind))
		if err != nil {
			return fmt.Errorf("snapshots: %w", err)
		}
		for _, top := range tops {
			host := filepath.Base(filepath.Dir(top))
			err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
				if os.IsNotExist(err) {
					return nil // renamed while we look
				}
				if err != nil || e.IsDir() || !strings.HasSuffix(path, ".snap") {
					return err
				}
				rel, err := filepath.Rel(top, path)
				if err != nil {
					return err
				}
				vm, _, _ := strings.Cut(rel, string(filepath.Separator))
				key := [3]string{host, vm, strings.TrimSuffix(filepath.Base(path), ".snap")}
				if n, ok := counterOf(vm, path); ok && !slices.Contains(into[key], n) {
					into[key] = append(into[key], n)
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("snapshots: %w", err)
			}
		}
	}
	return nil
}

// counterOf reads a snapshot: lines of a counter in 20 digits, a blank and the
// first 42 hex digits of the SHA-256 of "<vm> <counter>". The largest counts.
func counterOf(vm, path string) (counter uint64, ok bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for text := range strings.Lines(string(data)) {
		digits, sum, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			continue
		}
		want := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %d", vm, n)))
		if len(sum) == 42 && strings.HasPrefix(want, sum) {
			counter, ok = max(counter, n), true
		}
	}
	return counter, ok
}

func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

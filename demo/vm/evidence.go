package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// Kinds of evidence.
const (
	seenStart    = "start"
	seenBeat     = "beat"
	seenStop     = "stop"
	seenPrepare  = "prepare"
	seenSnapshot = "snapshot"
	seenReplica  = "replica"
)

// evidence is one line of what happened.
type evidence struct {
	Kind       string    `json:"kind"`
	VM         string    `json:"vm"`
	Host       string    `json:"host"`
	PID        int       `json:"pid"`
	Boot       int64     `json:"boot_ns"` // boot-time clock
	Wall       time.Time `json:"wall"`
	Counter    uint64    `json:"counter"`
	Generation uint64    `json:"generation,omitempty"`
	GUID       string    `json:"guid,omitempty"`
	Reason     string    `json:"reason,omitempty"`
}

// journal is one process's evidence about one VM: a file that nobody else
// writes.
type journal struct {
	vm, host string
	f        *os.File
}

func (h Host) openJournal(vm string) (*journal, error) {
	dir := filepath.Join(h.root, evidenceDir, vm)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("evidence of %s: %w", vm, err)
	}
	name := fmt.Sprintf("%s-%d-%s.jsonl", h.name, os.Getpid(), ulid.Make())
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("evidence of %s: %w", vm, err)
	}
	return &journal{vm: vm, host: h.name, f: f}, nil
}

// write adds one line by one write: a kill cannot leave half of it.
func (j *journal) write(e evidence) error {
	e.VM, e.PID, e.Wall = j.vm, os.Getpid(), time.Now()
	if e.Host == "" {
		e.Host = j.host
	}
	if e.Boot == 0 {
		e.Boot = int64(boottime.Now())
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.f.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("evidence of %s: %w", j.vm, err)
	}
	return nil
}

func (j *journal) close() { _ = j.f.Close() }

// book keeps one process's journals, a VM each.
type book struct {
	host     Host
	journals map[string]*journal
}

func newBook(h Host) *book { return &book{host: h, journals: map[string]*journal{}} }

// write adds evidence of an act that has been done.
func (b *book) write(vm string, e evidence) error {
	j := b.journals[vm]
	if j == nil {
		var err error
		if j, err = b.host.openJournal(vm); err != nil {
			return err
		}
		b.journals[vm] = j
	}
	return j.write(e)
}

func (b *book) close() {
	for _, j := range b.journals {
		j.close()
	}
}

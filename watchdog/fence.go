package watchdog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Fence is why a host is about to be reset, left on its local disk beforehand. One that
// was written in another boot than the present one was carried out, as far as it can be
// known: had the deadline been extended after all, it would have been removed.
type Fence struct {
	Boot     string        `json:"boot"`             // id of the boot that it speaks of
	Time     time.Time     `json:"time"`             // when it was written, by the wall clock
	Written  time.Duration `json:"written"`          // the same by the boot-time clock, as are
	Handed   time.Duration `json:"handed"`           // when the deadline was handed, and
	Deadline time.Duration `json:"deadline"`         // when it passes
	By       string        `json:"by"`               // incarnation that handed it
	Action   string        `json:"action"`           // ActionLog: nothing is done
	Passed   bool          `json:"passed,omitempty"` // under ActionLog: it has passed
	Device   string        `json:"device,omitempty"` // that resets the host where the watchdog cannot
	Text     string        `json:"text"`             // all of it, for people
}

// longestFence bounds what is read of a file.
const longestFence = 64 << 10

// ReadFence reads what a watchdog has left. Without a file it is fs.ErrNotExist.
func ReadFence(path string) (*Fence, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("fence: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, longestFence+1))
	if err != nil {
		return nil, fmt.Errorf("fence: %s: %w", path, err)
	}
	fence, err := decodeFence(data)
	if err != nil {
		return nil, fmt.Errorf("fence: %s: %w", path, err)
	}
	return fence, nil
}

func decodeFence(data []byte) (*Fence, error) {
	if len(data) > longestFence {
		return nil, errors.New("it is too long")
	}
	var f Fence
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Boot == "":
		return nil, errors.New("it does not say of which boot it is")
	case f.Action != ActionReboot && f.Action != ActionLog:
		return nil, fmt.Errorf("the action %q is not known", f.Action)
	case f.Deadline <= 0 || f.Handed < 0 || f.Handed >= f.Deadline || f.Written < f.Handed:
		return nil, errors.New("its times contradict each other")
	}
	return &f, nil
}

// write leaves it at a path, whole and durable.
func (f *Fence) write(path string) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	temporary := path + ".new" // one watchdog a folder: its lock is there as well
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(data, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return err
	}
	return syncFolder(path)
}

// removeFence takes it back, durably: after a crash it must not speak again.
func removeFence(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncFolder(path)
}

func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

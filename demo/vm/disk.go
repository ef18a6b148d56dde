package vm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/oklog/ulid/v2"
)

// A disk is two slots of one line each: the counter and a checksum over it and
// the VM's name. The counter n is written into slot n%2, so that a reader, or a
// kill in the middle of a write, always finds the counter before it whole.
const (
	slotSize = 64
	diskSize = 2 * slotSize
)

var errDisk = errors.New("no readable disk")

func slot(vm string, counter uint64) []byte {
	sum := sha256.Sum256([]byte(vm + " " + strconv.FormatUint(counter, 10)))
	return []byte(fmt.Sprintf("%020d %x", counter, sum)[:slotSize-1] + "\n")
}

// diskImage is a whole disk at the counter; a snapshot is the same bytes.
func diskImage(vm string, counter uint64) []byte {
	s := slot(vm, counter)
	return append(s, s...)
}

// parseDisk gives the newest counter whose slot is whole.
func parseDisk(vm string, data []byte) (uint64, error) {
	if len(data) != diskSize {
		return 0, fmt.Errorf("%w of %s: %d bytes", errDisk, vm, len(data))
	}
	var newest uint64
	var whole bool
	for _, at := range []int{0, slotSize} {
		line := data[at : at+slotSize]
		n, err := strconv.ParseUint(string(line[:20]), 10, 64)
		if err == nil && string(line) == string(slot(vm, n)) {
			newest, whole = max(newest, n), true
		}
	}
	if !whole {
		return 0, fmt.Errorf("%w of %s: no slot matches its checksum", errDisk, vm)
	}
	return newest, nil
}

func readDisk(vm, path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := parseDisk(vm, data)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func writeSlot(f *os.File, vm string, counter uint64) error {
	_, err := f.WriteAt(slot(vm, counter), int64(counter%2)*slotSize)
	return err
}

// writeAtomic makes or replaces a file as a whole.
func writeAtomic(path string, data []byte) error {
	tmp := filepath.Join(filepath.Dir(path), ".tmp-"+ulid.Make().String())
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return nil
}

package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// maxUnix is the last second of the year 9999: no record can hold a later one.
const maxUnix = 253402300799

// LineError is a line of a listing that cannot be understood.
type LineError struct {
	Number int
	Line   string
	Err    error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("line %d %.200q: %v", e.Number, e.Line, e.Err)
}

func (e *LineError) Unwrap() error { return e.Err }

// CheckName refuses what cannot be the name of a VM or a snapshot's guid: more
// than 128 bytes, anything but ASCII letters, digits and ._-:@+, and a leading
// dash or dot.
func CheckName(name string) error {
	if strings.HasPrefix(name, "-") {
		return fmt.Errorf("name %q begins with a dash", name)
	}
	return persistence.CheckName(name)
}

// decodeVMs reads a listing of VMs. The state of a VM that is given without one
// is "".
func decodeVMs(text string) ([]vmctl.VM, error) {
	var vms []vmctl.VM
	seen := map[string]bool{}
	err := eachLine(text, func(words []string) error {
		vm := vmctl.VM{Name: words[0]}
		if len(words) > 2 {
			return errors.New("want NAME and at most a state")
		}
		if len(words) == 2 {
			vm.State = words[1]
			switch vm.State {
			case record.VMRunning, record.VMStopped, record.VMUnknown:
			default:
				return fmt.Errorf("state %q: want running, stopped or unknown", vm.State)
			}
		}
		if err := CheckName(vm.Name); err != nil {
			return err
		}
		if seen[vm.Name] {
			return fmt.Errorf("%s is listed twice", vm.Name)
		}
		seen[vm.Name] = true
		vms = append(vms, vm)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return vms, nil
}

// decodeDatasets reads a listing of snapshots.
func decodeDatasets(text string) ([]record.Dataset, error) {
	var sets []record.Dataset
	at := map[string]int{}
	alone := map[string]bool{} // VMs given by a line of their own
	guids := map[[2]string]bool{}
	err := eachLine(text, func(words []string) error {
		name := words[0]
		if err := CheckName(name); err != nil {
			return err
		}
		k, known := at[name]
		if !known {
			k = len(sets)
			at[name] = k
			sets = append(sets, record.Dataset{VM: name})
		}
		set := &sets[k]
		switch {
		case len(words) == 1:
			if known {
				return fmt.Errorf("%s without snapshots, after other lines of it", name)
			}
			alone[name] = true
		case len(words) == 2 && words[1] == "written":
			if set.Written {
				return fmt.Errorf("%s written is listed twice", name)
			}
			set.Written = true
		case len(words) == 3:
			if alone[name] {
				return fmt.Errorf("a snapshot of %s, which was listed as without", name)
			}
			snap, err := decodeSnapshot(words[1], words[2])
			if err != nil {
				return err
			}
			if guids[[2]string{name, snap.GUID}] {
				return fmt.Errorf("guid %s of %s is listed twice", snap.GUID, name)
			}
			guids[[2]string{name, snap.GUID}] = true
			set.Snapshots = append(set.Snapshots, snap)
		default:
			return errors.New("want VM GUID UNIX-SECONDS, VM written, or VM")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sets, nil
}

func decodeSnapshot(guid, seconds string) (record.Snapshot, error) {
	if err := CheckName(guid); err != nil {
		return record.Snapshot{}, fmt.Errorf("guid: %w", err)
	}
	n, err := strconv.ParseUint(seconds, 10, 63)
	if err != nil || n > maxUnix {
		return record.Snapshot{}, fmt.Errorf("time %q: want seconds since 1970", seconds)
	}
	return record.Snapshot{GUID: guid, Created: time.Unix(int64(n), 0).UTC()}, nil
}

// eachLine gives the words of each line that is not blank. Only blanks and tabs
// part them: any other control character is part of a word, and no word may
// hold one.
func eachLine(text string, each func(words []string) error) error {
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) == 0 {
			continue
		}
		if err := each(words); err != nil {
			return &LineError{Number: number, Line: line, Err: err}
		}
	}
	return nil
}

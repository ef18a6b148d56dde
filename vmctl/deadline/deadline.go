package deadline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/vmctl"
)

// The file is one line: the boot's id, blanks up to MaxBootID bytes, a blank,
// the deadline in numberSize bytes, a newline.
const (
	Size       = MaxBootID + 1 + numberSize + 1
	MaxBootID  = 43
	numberSize = 19
	none       = "none"
)

// ErrMalformed is a file that does not hold what WriteDeadline writes.
var ErrMalformed = errors.New("malformed deadline file")

// ReadDeadline is the deadline in the file: a time of the boot-time clock or
// vmctl.NoDeadline. It is zero when there is no file, or one of another boot.
func ReadDeadline(path, bootID string) (time.Duration, error) {
	if err := checkBootID(bootID); err != nil {
		return 0, err
	}
	last, err := os.ReadFile(path)
	for tries := 0; err == nil && tries < 10; tries++ {
		var again []byte
		if again, err = os.ReadFile(path); err == nil && string(again) == string(last) {
			return decode(again, bootID)
		}
		last = again
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read the deadline: %w", err)
	}
	return 0, fmt.Errorf("%w: %s changes at every reading", ErrMalformed, path)
}

// WriteDeadline writes a deadline, which is a time of the boot-time clock or
// vmctl.NoDeadline.
func WriteDeadline(path, bootID string, d time.Duration) error {
	if err := checkBootID(bootID); err != nil {
		return err
	}
	if d <= 0 {
		return fmt.Errorf("deadline %d: it must be after the boot", d)
	}
	line := encode(bootID, d)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return create(path, line)
	}
	if err != nil {
		return fmt.Errorf("open the deadline file: %w", err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != Size {
		// Cut short by a full disk: never seen half, it is made anew.
		_ = f.Close()
		return create(path, line)
	}
	_, err = f.WriteAt(line, 0)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write the deadline: %w", err)
	}
	return nil
}

// create makes the file under another name first: it is never seen empty.
func create(path string, line []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".deadline-*")
	if err != nil {
		return fmt.Errorf("make the deadline file: %w", err)
	}
	_, err = f.Write(line)
	if err == nil {
		err = f.Chmod(0o644) // VMs' programs may run as anybody
	}
	if err == nil {
		err = f.Sync() // a power loss must not leave an empty one under the name
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("make the deadline file: %w", err)
	}
	return nil
}

func encode(bootID string, d time.Duration) []byte {
	number := fmt.Sprintf("%0*d", numberSize, d)
	if d == vmctl.NoDeadline {
		number = fmt.Sprintf("%-*s", numberSize, none)
	}
	return fmt.Appendf(nil, "%-*s %s\n", MaxBootID, bootID, number)
}

func decode(data []byte, bootID string) (time.Duration, error) {
	bad := func() (time.Duration, error) { return 0, fmt.Errorf("%w: %.80q", ErrMalformed, data) }
	if len(data) != Size || data[MaxBootID] != ' ' || data[Size-1] != '\n' {
		return bad()
	}
	id := strings.TrimRight(string(data[:MaxBootID]), " ")
	number := string(data[MaxBootID+1 : Size-1])
	if checkBootID(id) != nil {
		return bad()
	}
	d := vmctl.NoDeadline
	if strings.TrimRight(number, " ") != none {
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || n == 0 || time.Duration(n) == vmctl.NoDeadline {
			return bad()
		}
		d = time.Duration(n)
	}
	if id != bootID {
		return 0, nil
	}
	return d, nil
}

func checkBootID(id string) error {
	if id == "" || len(id) > MaxBootID {
		return fmt.Errorf("boot id %q: 1 to %d bytes are allowed", id, MaxBootID)
	}
	for _, r := range id {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("boot id %q: printable ASCII without blanks is allowed", id)
		}
	}
	return nil
}

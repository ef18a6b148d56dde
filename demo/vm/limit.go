package vm

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/deadline"
)

// What the daemon hands to a start in its environment.
const (
	EnvDeadline   = "HOSTER_HA_DEADLINE_FILE"
	EnvBootID     = "HOSTER_HA_BOOT_ID"
	EnvGeneration = "HOSTER_HA_GENERATION"
)

// limit is until when the VM may run; the zero limit, of a planted copy, is
// none.
type limit struct {
	path, boot string
	until      time.Duration
}

// limitFromEnv reads the deadline file, and refuses one that is not there, not
// readable, of another boot, or passed.
func limitFromEnv() (limit, error) {
	l := limit{path: os.Getenv(EnvDeadline), boot: os.Getenv(EnvBootID)}
	if l.path == "" {
		return l, errors.New(EnvDeadline + " names no deadline file")
	}
	var err error
	if l.until, err = deadline.ReadDeadline(l.path, l.boot); err != nil {
		return l, err
	}
	if l.until == 0 {
		return l, fmt.Errorf("no deadline of this boot in %s", l.path)
	}
	if now := boottime.Now(); now >= l.until {
		return l, fmt.Errorf("its deadline passed %s ago", now-l.until)
	}
	return l, nil
}

// left reads the deadline anew and says how long the VM may still run. Where
// the file cannot be read or is gone, the deadline read last counts: it was
// handed over.
func (l *limit) left() time.Duration {
	if l.path == "" {
		return vmctl.NoDeadline
	}
	if d, err := deadline.ReadDeadline(l.path, l.boot); err == nil && d > 0 {
		l.until = d
	}
	return l.until - boottime.Now()
}

func generationFromEnv() uint64 {
	n, _ := strconv.ParseUint(os.Getenv(EnvGeneration), 10, 64) // for the evidence only
	return n
}

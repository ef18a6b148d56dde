package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// fault is one thing that goes wrong with a host's calls to the store or to its
// driver. Several may be in force at once.
type fault struct {
	kind string
	op   string        // "" for any; read, write, or one operation
	key  string        // prefix of the key; for a driver's the VM
	p    float64       // of each call
	d    time.Duration // how slow, how late, how stale
	// lifted is closed when the fault ends.
	lifted chan struct{}
}

// The kinds of faults of a way to the store.
const (
	faultLost    = "lost"    // a write lands and its answer does not come
	faultNever   = "never"   // a write does not land, and nobody can tell
	faultLate    = "late"    // a write lands d later, perhaps after newer ones
	faultSlow    = "slow"    // a call takes d on its way there
	faultTardy   = "tardy"   // its answer takes d on its way back
	faultFail    = "fail"    // a call fails and nothing is done
	faultHang    = "hang"    // a call waits until the fault is lifted
	faultOutage  = "outage"  // the store cannot be reached
	faultStale   = "stale"   // reads see what lay there d ago
	faultTorn    = "torn"    // reads give half a record
	faultMissing = "missing" // reads find nothing
	faultForeign = "foreign" // reads find another record
)

var storeFaults = []string{
	faultLost, faultNever, faultLate, faultSlow, faultTardy, faultFail, faultHang, faultOutage, faultStale, faultTorn, faultMissing, faultForeign,
}

func isRead(op string) bool { return op == "get" || op == "list" }

// hits says whether a fault concerns a call.
func (f *fault) hits(op, key string) bool {
	switch f.op {
	case "", op:
	case "read":
		if !isRead(op) {
			return false
		}
	case "write":
		if isRead(op) {
			return false
		}
	default:
		return false
	}
	return strings.HasPrefix(key, f.key) || key == strings.TrimSuffix(f.key, "/")
}

func (f *fault) String() string {
	s := f.kind
	if f.op != "" {
		s += " op=" + f.op
	}
	if f.key != "" {
		s += " key=" + f.key
	}
	if f.p != 1 {
		s += fmt.Sprintf(" p=%g", f.p)
	}
	if f.d != 0 {
		s += fmt.Sprintf(" d=%s", f.d)
	}
	return s
}

// inflict puts a fault in force on a host, or on all ("").
func (w *world) inflict(host string, f *fault) {
	f.lifted = make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if host == "" {
		w.common = append(w.common, f)
		return
	}
	h := w.hosts[host]
	if slices.Contains(storeFaults, f.kind) {
		h.faults = append(h.faults, f)
	} else {
		h.driverFaults = append(h.driverFaults, f)
	}
}

// heal lifts the faults of a kind ("" for all) of a host ("" for all, and those
// that are common to all).
func (w *world) heal(host, kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lift := func(fs []*fault) []*fault {
		return slices.DeleteFunc(slices.Clone(fs), func(f *fault) bool {
			if kind != "" && f.kind != kind {
				return false
			}
			close(f.lifted)
			return true
		})
	}
	if host == "" {
		if len(w.common) > 0 {
			w.healed = w.now()
		}
		w.common = lift(w.common)
	}
	for _, n := range w.names {
		h := w.hosts[n]
		if host != "" && host != n {
			continue
		}
		if len(h.faults) > 0 {
			h.troubled = w.now()
		}
		h.faults, h.driverFaults = lift(h.faults), lift(h.driverFaults)
	}
}

// struck lists the faults that hit one call now.
func (w *world) struck(fs []*fault, who, op, key string) []*fault {
	var hit []*fault
	for _, f := range fs {
		if f.hits(op, key) && (f.p >= 1 || w.draw(f.kind, who, op, key) < f.p) {
			hit = append(hit, f)
		}
	}
	return hit
}

// lift ends one fault, if it was not lifted before.
func (w *world) lift(f *fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	without := func(fs []*fault) []*fault {
		at := slices.Index(fs, f)
		if at < 0 {
			return fs
		}
		close(f.lifted)
		return slices.Concat(fs[:at], fs[at+1:])
	}
	if common := without(w.common); len(common) < len(w.common) {
		w.common, w.healed = common, w.now()
	}
	for _, n := range w.names {
		h := w.hosts[n]
		if faults := without(h.faults); len(faults) < len(h.faults) {
			h.faults, h.troubled = faults, w.now()
		}
		h.driverFaults = without(h.driverFaults)
	}
	w.note("over: %s", f)
}

package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Verdicts of findings.
const (
	OK      = "ok"
	Warning = "warning"
	Failed  = "failed"
)

// Finding is what came of one examination.
type Finding struct {
	What    string `json:"what"`
	Verdict string `json:"verdict"`
	Text    string `json:"text"`
}

// Options say how hard to look.
type Options struct {
	Races   int // for keys, of sixteen writers each
	Samples int // of each kind of request
	Timings lease.Timings
	Wall    func() time.Time
	// Also are other servers of the same store: the contract is proved over all.
	Also []persistence.Store
}

// skewed is how wrong a clock may be before a server minds or people are misled.
const skewed = 2 * time.Second

// Examine tells each finding as it is made, and says whether all is well enough.
func Examine(ctx context.Context, s persistence.Store, o Options, tell func(Finding)) bool {
	well := true
	found := func(what, verdict, format string, args ...any) {
		well = well && verdict != Failed
		tell(Finding{what, verdict, fmt.Sprintf(format, args...)})
	}
	if a, ok := s.(persistence.Advisor); ok {
		for _, text := range a.Advice(o.Timings.Renew) {
			found("set-up", Warning, "%s", text)
		}
	}
	over, across := s, ""
	if len(o.Also) > 0 {
		over, across = &spread{all: append([]persistence.Store{s}, o.Also...)}, fmt.Sprintf(" over %d servers", len(o.Also)+1)
	}
	if err := persistence.ProveIn(ctx, over, o.Races); err != nil {
		found("contract", Failed, "%v%s", err, across)
		return well // what is measured of such a store means nothing
	}
	found("contract", OK, "a key is made once, in order and in %d races of 16%s; what was written is read, listed and deleted", o.Races, across)
	latencies(ctx, s, o, found)
	clock(ctx, s, o, found)
	versions(ctx, s, found)
	return well
}

// latencies measures the requests that a lease is made of, one after the other, and
// holds them against the timings.
func latencies(ctx context.Context, s persistence.Store, o Options, found func(what, verdict, format string, args ...any)) {
	key := "probe/" + ulid.Make().String() + "/heartbeat"
	value, err := record.Seal("probe", struct{ Fill string }{fmt.Sprintf("%800d", 1)}) // as large as a heartbeat
	if err != nil {
		found("latency", Failed, "%v", err)
		return
	}
	own := persistence.Lane(persistence.Separate(s), "doctor")
	kinds := []struct {
		name string
		do   func(context.Context) error
	}{
		{"write", func(ctx context.Context) error { return own.Put(ctx, key, value) }},
		{"read", func(ctx context.Context) error { _, err := own.Get(ctx, key); return err }},
		{"listing", func(ctx context.Context) error { _, err := own.List(ctx, "ledger/0"); return err }},
	}
	p99 := map[string]time.Duration{}
	for _, k := range kinds {
		took := make([]time.Duration, 0, o.Samples)
		for range o.Samples {
			rctx, cancel := context.WithTimeoutCause(ctx, o.Timings.Renew, errors.New("a lease would have ended"))
			began := time.Now()
			err := k.do(rctx)
			cancel()
			if err != nil {
				found(k.name, Failed, "%v", err)
				return
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		at := func(p float64) time.Duration {
			return took[min(len(took)-1, int(p*float64(len(took))))].Round(time.Microsecond)
		}
		p99[k.name] = at(0.99)
		found(k.name, OK, "median %s, p99 %s, longest %s of %d", at(0.5), at(0.99), took[len(took)-1].Round(time.Microsecond), len(took))
	}
	if err := own.Delete(ctx, key); err != nil {
		found("delete", Failed, "%v", err)
	}
	// A beat is a listing and a write one after the other; others' records are given
	// half an interval.
	t := o.Timings
	beat := p99["write"] + p99["listing"]
	verdict, text := OK, ""
	switch {
	case beat >= t.Renew/2:
		verdict, text = Failed, ": too slow for them; give a longer --timeout"
	case beat >= t.Interval, p99["read"] >= t.Interval/2:
		verdict, text = Warning, ": slower than the interval; give a longer --interval, or expect late takeovers"
	}
	found("timings", verdict, "a renewal takes %s, with interval %s and leases of %s (timeout %s)%s", beat, t.Interval, t.Renew, t.Timeout, text)
	found("outage", OK, "the store may be away for %s before hosts give their leases up", max(t.Renew-t.Interval-beat, 0).Round(time.Millisecond))
}

func clock(ctx context.Context, s persistence.Store, o Options, found func(what, verdict, format string, args ...any)) {
	c, ok := s.(persistence.Clock)
	if !ok {
		return
	}
	now, err := c.Now(ctx)
	if err != nil {
		found("clock", Failed, "%v", err)
		return
	}
	off := o.Wall().Sub(now).Round(time.Second) // servers date to the second
	if off.Abs() > skewed {
		found("clock", Warning, "this host's clock is %s ahead of the store's: nothing is decided by it, but people read both", off)
		return
	}
	found("clock", OK, "this host's and the store's agree within %s", skewed)
}

func versions(ctx context.Context, s persistence.Store, found func(what, verdict, format string, args ...any)) {
	v, ok := s.(persistence.Versioner)
	if !ok {
		return
	}
	switch kept, err := v.Versions(ctx); {
	case err != nil:
		found("versions", Warning, "whether the bucket keeps old versions cannot be told: %v", err)
	case kept:
		found("versions", Warning, "the bucket keeps old versions, and each heartbeat makes one: add a rule that expires noncurrent versions after a day")
	default:
		found("versions", OK, "the bucket keeps no old versions")
	}
}

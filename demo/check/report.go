package check

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what the checker found.
type Report struct {
	VMs        []VM        `json:"vms"`
	Snapshots  int         `json:"snapshots"` // made and received, all looked for
	Violations []Violation `json:"violations"`
}

// VM is what became of one VM.
type VM struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts"` // in order, each as often as it came back to it
	Runs  int      `json:"runs"`
	Moves []Move   `json:"moves"` // also restarts on the same host
	// Sums over the moves.
	Downtime    time.Duration `json:"downtime_ns"`
	CounterLost uint64        `json:"counter_lost"`
	DataLost    time.Duration `json:"data_lost_ns"`
}

// Move is the way from one run of a VM to the next.
type Move struct {
	From     string        `json:"from"`
	To       string        `json:"to"`
	Snapshot string        `json:"snapshot,omitempty"` // guid; "" is its own disk
	Downtime time.Duration `json:"downtime_ns"`
	// CounterLost is by how much the counter went back; DataLost the time from
	// the snapshot to the end of the run before, if it did.
	CounterLost uint64        `json:"counter_lost"`
	DataLost    time.Duration `json:"data_lost_ns"`
}

func (j *judgement) move(from, to run, p *line) Move {
	m := Move{From: from.host, To: to.host, Downtime: max(0, to.start-from.end)}
	if from.last > to.counter {
		m.CounterLost = from.last - to.counter
	}
	if p == nil {
		return m
	}
	m.Snapshot = p.GUID
	if at, known := j.taken(p.GUID); known && m.CounterLost > 0 {
		m.DataLost = max(0, from.end-at)
	}
	return m
}

func (j *judgement) report() VM {
	v := VM{Name: j.vm, Runs: len(j.runs), Moves: j.moves}
	for _, r := range j.runs {
		v.Hosts = append(v.Hosts, r.host)
	}
	v.Hosts = slices.Compact(v.Hosts)
	for _, m := range j.moves {
		v.Downtime += m.Downtime
		v.CounterLost += m.CounterLost
		v.DataLost += m.DataLost
	}
	return v
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "VM\tRUNS\tHOSTS\tDOWNTIME\tCOUNTER LOST\tDATA LOST")
	for _, v := range r.VMs {
		_, _ = fmt.Fprintf(t, "%s\t%d\t%s\t%.1fs\t%d\t%.1fs\n", v.Name, v.Runs,
			strings.Join(v.Hosts, " > "), v.Downtime.Seconds(), v.CounterLost, v.DataLost.Seconds())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, v := range r.Violations {
		if _, err := fmt.Fprintf(w, "VIOLATION %s\n", v); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d snapshots and replicas looked for, %d violations\n", r.Snapshots, len(r.Violations))
	return err
}

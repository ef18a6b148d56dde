package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Kinds of violations.
const (
	Overlap      = "two runs at once"
	WrongCounter = "wrong counter"
	Unprepared   = "unprepared run"
	RolledBack   = "rolled back"
	Generation   = "generation went back"
	Missing      = "missing snapshot"
	Broken       = "broken evidence"
)

// Violation is one thing that must not have happened.
type Violation struct {
	Kind string `json:"kind"`
	VM   string `json:"vm"`
	What string `json:"what"`
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.VM, v.Kind, v.What) }

// Check judges the demonstration in the root folder.
func Check(root string) (*Report, error) {
	all, err := readHistories(root)
	if err != nil {
		return nil, err
	}
	found := copies{}
	if err := readCopies(root, found); err != nil {
		return nil, err
	}
	r := judge(all, found)
	if !slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Kind == Missing }) {
		return r, nil
	}
	// What is renamed from one folder to the next during a look is in neither: a
	// second look at the same evidence finds it.
	if err := readCopies(root, found); err != nil {
		return nil, err
	}
	return judge(all, found), nil
}

func judge(all map[string]*history, found copies) *Report {
	r := &Report{}
	for _, vm := range slices.Sorted(maps.Keys(all)) {
		j := &judgement{vm: vm, history: all[vm], found: found}
		for _, what := range j.broken {
			j.violated(Broken, "%s", what)
		}
		j.overlaps()
		j.beginnings()
		j.missing()
		r.VMs = append(r.VMs, j.report())
		r.Violations = append(r.Violations, j.violations...)
		r.Snapshots += len(j.made)
	}
	return r
}

type judgement struct {
	vm string
	*history
	found      copies
	moves      []Move
	violations []Violation
}

func (j *judgement) violated(kind, what string, args ...any) {
	j.violations = append(j.violations, Violation{Kind: kind, VM: j.vm, What: fmt.Sprintf(what, args...)})
}

func (j *judgement) overlaps() {
	for i, a := range j.runs {
		for _, b := range j.runs[i+1:] {
			if b.start <= a.end {
				j.violated(Overlap, "%s and %s", a, b)
			}
		}
	}
}

// beginnings judges how each run came to its disk: from the snapshot that was
// prepared there, or on from its own.
func (j *judgement) beginnings() {
	var generation uint64
	for i, r := range j.runs {
		if r.generation < generation {
			j.violated(Generation, "from %d to %d at the %s", generation, r.generation, r)
		}
		generation = max(generation, r.generation)
		p := j.prepared(i)
		var prev *run
		if i > 0 {
			prev = &j.runs[i-1]
		}
		switch {
		case p != nil:
			j.fromSnapshot(r, *p)
		case prev == nil:
		case prev.host != r.host:
			j.violated(Unprepared, "%s, after one on %s", r, prev.host)
		case r.counter < prev.last:
			j.violated(RolledBack, "from %d to %d at the %s", prev.last, r.counter, r)
		}
		if prev != nil {
			j.moves = append(j.moves, j.move(*prev, r, p))
		}
	}
}

// prepared is the newest prepare of run i: on its host, after the start of the
// run before it and of the last one there.
func (j *judgement) prepared(i int) *line {
	r := j.runs[i]
	var after time.Duration
	if i > 0 {
		after = j.runs[i-1].start
	}
	for k := len(j.prepares) - 1; k >= 0; k-- {
		p := &j.prepares[k]
		if p.Host == r.host && p.at() < r.start && p.at() > after {
			return p
		}
	}
	return nil
}

// fromSnapshot compares the counters of a run, of the prepare before it, and
// of every copy of the snapshot on that host.
func (j *judgement) fromSnapshot(r run, p line) {
	if r.counter != p.Counter {
		j.violated(WrongCounter, "%s began at %d, snapshot %s was prepared at %d", r, r.counter, p.GUID, p.Counter)
	}
	have := j.found[[3]string{r.host, j.vm, p.GUID}]
	if len(have) == 0 {
		j.violated(Missing, "%s, from which the %s began", p.GUID, r)
	}
	for _, n := range have {
		if n != r.counter {
			j.violated(WrongCounter, "%s began at %d, snapshot %s holds %d", r, r.counter, p.GUID, n)
		}
	}
}

// missing looks for every snapshot that was ever made or received on a host.
func (j *judgement) missing() {
	for _, m := range j.made {
		have := j.found[[3]string{m.Host, j.vm, m.GUID}]
		if len(have) == 0 {
			j.violated(Missing, "%s %s of %s, made at %.3fs", m.Kind, m.GUID, m.Host, m.at().Seconds())
		}
		for _, n := range have {
			if n != m.Counter {
				j.violated(WrongCounter, "%s %s of %s holds %d, it was made at %d", m.Kind, m.GUID, m.Host, n, m.Counter)
			}
		}
	}
}

// taken is when the snapshot was made, by the first evidence of it.
func (j *judgement) taken(guid string) (time.Duration, bool) {
	var times []time.Duration
	for _, m := range j.made {
		if m.GUID == guid && m.Kind == "snapshot" {
			times = append(times, m.at())
		}
	}
	if len(times) == 0 {
		return 0, false
	}
	return slices.MinFunc(times, cmp.Compare), true
}

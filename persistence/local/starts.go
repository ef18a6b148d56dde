package local

import "maps"

// Closed is the newest generation of the VM that is closed here for good; 0 is
// none.
func (m *Memory) Closed(vm string) uint64 { return m.now.Load().Closed[vm] }

// CloseGeneration closes the generation, and all before it, for good: nothing
// is started here under them again. One that is closed already stays so.
func (m *Memory) CloseGeneration(vm string, generation uint64) error {
	return m.set(func(s *state) { s.Closed[vm] = max(s.Closed[vm], generation) })
}

// Issued writes down that a start is about to be issued. Of several that are
// unresolved, the newest generation is kept.
func (m *Memory) Issued(vm string, generation uint64) error {
	return m.set(func(s *state) { s.Issued[vm] = max(s.Issued[vm], generation) })
}

// IssuedAgain is Issued over a start that an earlier process left unresolved. From
// here on a VM that runs says nothing of that one.
func (m *Memory) IssuedAgain(vm string, generation uint64) error {
	return m.set(func(s *state) {
		s.Issued[vm] = max(s.Issued[vm], generation)
		s.Again[vm] = true
	})
}

// Again: a start was issued over one that was unresolved.
func (m *Memory) Again(vm string) bool { return m.now.Load().Again[vm] }

// Resolved writes down what became of a start: it has certainly ended, and the
// VM runs under the generation or was not started. A newer start of the VM
// stays unresolved.
func (m *Memory) Resolved(vm string, generation uint64, running bool) error {
	return m.set(func(s *state) {
		if s.Issued[vm] <= generation {
			delete(s.Issued, vm)
			delete(s.Again, vm)
		}
		if running {
			s.Running[vm] = max(s.Running[vm], generation)
		}
	})
}

// Unresolved are the starts that were issued, by VM, of which it is not known
// that they have ended.
func (m *Memory) Unresolved() map[string]uint64 {
	return maps.Clone(m.now.Load().Issued)
}

// Prepared writes down that the disk of the VM was made ready for a generation.
func (m *Memory) Prepared(vm string, generation uint64) error {
	return m.set(func(s *state) { s.Prepared[vm] = max(s.Prepared[vm], generation) })
}

// IsPrepared: the disk was made ready for this generation, or for a later one:
// then what it was made from is history.
func (m *Memory) IsPrepared(vm string, generation uint64) bool {
	return generation > 0 && m.now.Load().Prepared[vm] >= generation
}

// Running is the generation under which the VM was last started or adopted
// here; 0 is none. It does not say that it still runs.
func (m *Memory) Running(vm string) uint64 { return m.now.Load().Running[vm] }

// SetRunning writes down the generation under which a running VM was adopted;
// 0 forgets it.
func (m *Memory) SetRunning(vm string, generation uint64) error {
	return m.set(func(s *state) {
		if s.Running[vm] = generation; generation == 0 {
			delete(s.Running, vm)
		}
	})
}

package node

import (
	"errors"

	"github.com/hoster-ha/hoster-ha/persistence/local"
)

// ended notes that a VM was seen to have stopped. A start of this process that
// was unresolved has ended with it, since the command that issued it is gone; one
// of an earlier process has not certainly.
func (h *host) ended(vm string) error {
	m := h.n.cfg.Memory
	if generation, open := m.Unresolved()[vm]; open {
		return journal{m, h}.Resolved(vm, generation, false)
	}
	return nil
}

// journal is local memory, as the gate writes starts into it: what an earlier
// process left unresolved stays so until the VM is seen to run by nothing else's
// doing, or a reboot.
type journal struct {
	*local.Memory
	h *host
}

func (j journal) Issued(vm string, generation uint64) error {
	j.h.mu.Lock()
	orphan := j.h.orphans[vm]
	j.h.mu.Unlock()
	switch _, open := j.Unresolved()[vm]; {
	case open && !orphan:
		return errors.New("an earlier start has not certainly ended")
	case open:
		return j.IssuedAgain(vm, generation)
	}
	return j.Memory.Issued(vm, generation)
}

func (j journal) Resolved(vm string, generation uint64, running bool) error {
	j.h.mu.Lock()
	orphan := j.h.orphans[vm]
	j.h.mu.Unlock()
	switch {
	case orphan && running:
		return j.SetRunning(vm, generation)
	case orphan:
		return nil
	}
	return j.Memory.Resolved(vm, generation, running)
}

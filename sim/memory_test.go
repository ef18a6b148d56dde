package sim

import (
	"bytes"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/local"
)

// memoryFiles is a host's local memory, and what it held before: a power cut can
// bring an older state back.
type memoryFiles struct {
	local.Backend
	w     *world
	wrote []writing
}

type writing struct {
	at   time.Duration
	name string
	data []byte
}

func newMemory(w *world) *memoryFiles { return &memoryFiles{Backend: local.Map(), w: w} }

func (m *memoryFiles) Write(name string, data []byte) error {
	const most = 200
	if m.wrote = append(m.wrote, writing{m.w.now(), name, bytes.Clone(data)}); len(m.wrote) > most {
		m.wrote = m.wrote[most/2:]
	}
	return m.Backend.Write(name, data)
}

// before is the memory as it was at an instant; nil if that is not known. The key
// of the node is written once, before all else.
func (m *memoryFiles) before(at time.Duration) *memoryFiles {
	old := newMemory(m.w)
	found := false
	if key, err := m.Read("key.pem"); err != nil || old.Write("key.pem", key) != nil {
		return nil
	}
	for _, x := range m.wrote {
		if x.at <= at {
			found = true
			if old.Write(x.name, x.data) != nil {
				return nil
			}
		}
	}
	if !found {
		return nil
	}
	return old
}

// opened is what a daemon on the host would read there now; nil if it could not. It
// is a copy, since opening a memory writes to it.
func (m *memoryFiles) opened(h *host) *local.Memory {
	copied := m.before(m.w.now())
	if copied == nil {
		return nil
	}
	opened, err := local.NewOn(copied, local.Host{Machine: "machine-" + h.name, Boot: h.bootID()})
	if err != nil {
		return nil
	}
	return opened
}

// knows says whether the memory names a cluster, and an entry of its ledger beyond
// that number.
func (m *memoryFiles) knows(h *host, seq uint64) bool {
	opened := m.opened(h)
	if opened == nil {
		return false
	}
	id, _ := opened.Cluster()
	tail, _ := opened.Tail()
	return id != "" && tail > seq
}

// doRollbackMemory is a file system that a power cut took back. What a start or a
// restored disk of this boot was is gone with the boot; what the memory said of
// earlier ones is not there any more.
func doRollbackMemory(h *host, args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.on {
		return nil // only a power cut rolls a memory back
	}
	// Exclusion "founder of an empty store": without memory of a cluster a host may
	// found one where it sees none, and follow what a backup brings back.
	if old := h.memory.before(h.w.now() - d); old != nil && old.knows(h, 0) && h.mounted == nil && h.w.swapped == nil {
		h.memory = old
		clear(h.prepared)
		clear(h.ran)
	}
	return nil
}

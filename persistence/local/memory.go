package local

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// The files of a memory.
const (
	memoryFile = "memory.json"
	keyFile    = "key.pem"
	kind       = "memory"
)

// state is the content of memory.json. A state that readers can see is never
// changed.
type state struct {
	Machine     string            `json:"machine,omitempty"` // made up where the host has none
	Fingerprint string            `json:"fingerprint,omitempty"`
	Cluster     string            `json:"cluster,omitempty"`
	URL         string            `json:"url,omitempty"`
	TailSeq     uint64            `json:"tail_seq,omitempty"`
	TailHash    string            `json:"tail_hash,omitempty"`
	Incarnation string            `json:"incarnation,omitempty"`
	Boot        string            `json:"boot,omitempty"`
	Enrolled    []string          `json:"enrolled,omitempty"`
	Closed      map[string]uint64 `json:"closed,omitempty"`
	Issued      map[string]uint64 `json:"issued,omitempty"`
	Again       map[string]bool   `json:"again,omitempty"`
	Prepared    map[string]uint64 `json:"prepared,omitempty"`
	Running     map[string]uint64 `json:"running,omitempty"`
	Lost        *Lost             `json:"lost,omitempty"`
}

func (s *state) clone() *state {
	c := *s
	c.Enrolled = slices.Clone(s.Enrolled)
	for _, m := range []*map[string]uint64{&c.Closed, &c.Issued, &c.Prepared, &c.Running} {
		if *m = maps.Clone(*m); *m == nil {
			*m = map[string]uint64{}
		}
	}
	if c.Again = maps.Clone(c.Again); c.Again == nil {
		c.Again = map[string]bool{}
	}
	return &c
}

// Host is what tells a machine and its boots from others.
type Host struct {
	Machine string // hardware id; "" is none
	Boot    string // another one each boot
}

// Memory is the local memory of one node. It is safe for concurrent use.
type Memory struct {
	backend Backend
	host    Host
	key     ed25519.PrivateKey
	unlock  func() error

	now atomic.Pointer[state] // what readers see: it is on the disk

	mu      sync.Mutex // of setters
	written []byte     // sealed form of now
	unsure  bool       // a write failed: what the disk holds is open
	closed  bool
}

// OpenDir opens the memory in the folder, which it makes where needed, and
// keeps other processes out until Close. *LockedError: one is in.
func OpenDir(path string) (*Memory, error) {
	b, err := Dir(path)
	if err != nil {
		return nil, fmt.Errorf("local memory: %w", err)
	}
	l, err := lock(path)
	if err != nil {
		return nil, err
	}
	m, err := New(b)
	if err != nil {
		l.Unlock()
		return nil, fmt.Errorf("in %s: %w", path, err)
	}
	m.unlock = l.Unlock
	return m, nil
}

// New opens the memory that the backend keeps, on this host. It takes no lock.
func New(b Backend) (*Memory, error) {
	boot, err := BootID()
	if err != nil {
		return nil, fmt.Errorf("local memory: %w", err)
	}
	return NewOn(b, Host{Machine: hardwareID(), Boot: boot})
}

// NewOn is New on a host that is told: simulations have many.
func NewOn(b Backend, h Host) (*Memory, error) {
	m := &Memory{backend: b, host: h, unlock: func() error { return nil }}
	s := (&state{}).clone()
	data, err := b.Read(memoryFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// The memory is always written before its key.
		if _, err := b.Read(keyFile); err == nil {
			return nil, fmt.Errorf("local memory: %s is missing and its %s is there: what this node knew is lost;"+
				" restore it, or remove both to begin as a new node", memoryFile, keyFile)
		}
	case err != nil:
		return nil, fmt.Errorf("local memory: %w", err)
	default:
		if err := record.Open(kind, data, s); err != nil {
			return nil, fmt.Errorf("local memory: %s: %w", memoryFile, err)
		}
		m.written = data
	}
	m.now.Store(s.clone())
	if err := m.identify(); err != nil {
		return nil, err
	}
	return m, nil
}

// Close lets other processes in. Setters fail from here on.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	return m.unlock()
}

// change makes a new state, and lets readers see it once it is durable. Nothing
// is written when nothing changed.
func (m *Memory) change(f func(*state) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("local memory: %w", fs.ErrClosed)
	}
	next := m.now.Load().clone()
	if err := f(next); err != nil {
		return fmt.Errorf("local memory: %w", err)
	}
	data, err := record.Seal(kind, next)
	if err != nil {
		return fmt.Errorf("local memory: %w", err)
	}
	if !m.unsure && bytes.Equal(data, m.written) {
		return nil
	}
	m.unsure = true
	if err := m.backend.Write(memoryFile, data); err != nil {
		return fmt.Errorf("local memory: %w", err)
	}
	m.unsure, m.written = false, data
	m.now.Store(next)
	return nil
}

// set is change where nothing can be refused.
func (m *Memory) set(f func(*state)) error {
	return m.change(func(s *state) error { f(s); return nil })
}

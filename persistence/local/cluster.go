package local

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrBehind: a ledger entry is older than the newest one that this node has
// seen, or another one under the same number.
var ErrBehind = errors.New("the ledger is not the one that was seen")

// Cluster is the cluster that this node remembers, and its store's address; ""
// is none.
func (m *Memory) Cluster() (id, url string) {
	s := m.now.Load()
	return s.Cluster, s.URL
}

// SetCluster remembers a cluster, or forgets it. All else is kept: closed
// generations, for one, hold for a node that leaves and comes back.
func (m *Memory) SetCluster(id, url string) error {
	return m.set(func(s *state) { s.Cluster, s.URL = id, url })
}

// Tail is the newest ledger entry that this node has seen; 0 is none.
func (m *Memory) Tail() (seq uint64, hash string) {
	s := m.now.Load()
	return s.TailSeq, s.TailHash
}

// SetTail remembers a newer entry. ErrBehind: it is older than the one
// remembered, or has its number and another hash.
func (m *Memory) SetTail(seq uint64, hash string) error {
	return m.change(func(s *state) error {
		if seq < s.TailSeq || seq == s.TailSeq && hash != s.TailHash {
			return fmt.Errorf("%w: entry %d (%.12s) after %d (%.12s)", ErrBehind, seq, hash, s.TailSeq, s.TailHash)
		}
		s.TailSeq, s.TailHash = seq, hash
		return nil
	})
}

// ResetTail remembers an entry whatever was seen before: after a repair of the
// ledger that an operator asked for, and for a node that changes its cluster.
func (m *Memory) ResetTail(seq uint64, hash string) error {
	return m.set(func(s *state) { s.TailSeq, s.TailHash = seq, hash })
}

// Incarnation is the last one that this node held; "" is none.
func (m *Memory) Incarnation() string { return m.now.Load().Incarnation }

// LastBoot is the boot id under which Incarnation was set.
func (m *Memory) LastBoot() string { return m.now.Load().Boot }

// SetIncarnation remembers the incarnation that this node holds from now on,
// and this boot.
func (m *Memory) SetIncarnation(incarnation string) error {
	return m.set(func(s *state) { s.Incarnation, s.Boot = incarnation, m.host.Boot })
}

// Lost is why this host stopped all that it ran, or was ended.
type Lost struct {
	Why  string    `json:"why"`
	Boot string    `json:"boot"`
	Wall time.Time `json:"wall"`
}

// Lost is the last such loss; nil is none.
func (m *Memory) Lost() *Lost {
	l := m.now.Load().Lost
	if l == nil {
		return nil
	}
	c := *l
	return &c
}

// SetLost remembers a loss in this boot, or forgets it: nil.
func (m *Memory) SetLost(l *Lost) error {
	return m.set(func(s *state) {
		if s.Lost = l; l != nil {
			s.Lost = &Lost{Why: l.Why, Boot: m.host.Boot, Wall: l.Wall}
		}
	})
}

// Enrolled are the VMs of this host that the cluster looks after, sorted.
func (m *Memory) Enrolled() []string { return slices.Clone(m.now.Load().Enrolled) }

// SetEnrolled remembers them.
func (m *Memory) SetEnrolled(vms []string) error {
	vms = slices.Compact(slices.Sorted(slices.Values(vms)))
	return m.set(func(s *state) { s.Enrolled = vms })
}

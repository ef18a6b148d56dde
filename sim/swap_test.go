package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/cli/clusterview"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// The kinds of stores that hosts may find in the place of their own.
const (
	storeEmptied = "emptied"     // a mount that is missing
	storeAnother = "another"     // another cluster's
	storeBefore  = "rolled-back" // a backup that was restored
	storeBack    = "back"        // their own again
)

// doStore puts another store into the place of the cluster's, for all.
func doStore(w *world, args []string) error {
	if args[0] == storeBack {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.swapped, w.healed = nil, w.now()
		return nil
	}
	if !w.remembered(args) {
		w.tell("nobody would know another store from the cluster's own: it stays")
		return nil
	}
	s, err := w.instead(args)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swapped = s
	return nil
}

// doMount does so for one host.
func doMount(h *host, args []string) error {
	var s *shared
	if args[0] != storeBack {
		if args[0] == storeBefore {
			return errors.New("a backup is restored for all")
		}
		if !h.knows(0) {
			return nil // it may found a cluster where it sees none
		}
		var err error
		if s, err = h.w.instead(args); err != nil {
			return err
		}
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.mounted, h.troubled = s, h.w.now()
	return nil
}

// instead makes what is seen in the store's place.
func (w *world) instead(args []string) (*shared, error) {
	s := newShared(w, args[0])
	switch args[0] {
	case storeEmptied:
	case storeAnother:
		return s, s.found("another", w.now())
	case storeBefore:
		if len(args) < 2 {
			return nil, errors.New("to what it was how long ago?")
		}
		d, err := time.ParseDuration(args[1])
		if err != nil {
			return nil, err
		}
		w.store.copyTo(s, w.now()-d)
	default:
		return nil, fmt.Errorf("%q is not understood", args[0])
	}
	return s, nil
}

// found makes a cluster of one host that nobody here knows.
func (s *shared) found(id string, at time.Duration) error {
	c, err := record.Seal(record.KindCluster, record.Cluster{ID: id, Format: record.Format, Founder: "z", Founded: s.w.began.Add(at)})
	if err != nil {
		return err
	}
	if err := s.Put(outside, "cluster.json", c); err != nil {
		return err
	}
	t := spec{}.timings()
	return ledger.New(s.Store, id).Found(outside, &ledger.Entry{
		Node: "z", By: "node z", Why: "found the cluster",
		State: ledger.State{Timings: t, Members: map[string]ledger.Member{"z": {Role: ledger.RoleCandidate}}},
	})
}

// copyTo gives another store what lay in this one at an instant.
func (s *shared) copyTo(to *shared, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range sortedKeys(s.versions) {
		var value []byte
		for _, v := range s.versions[key] {
			if v.at <= at {
				value = v.value
			}
		}
		if value == nil {
			continue
		}
		if err := to.Put(outside, key, value); err != nil {
			s.w.tell("%s is not in the backup: %v", key, err)
			continue
		}
		to.keep(key, value)
	}
}

// entries counts those that the ledger had at an instant.
func (s *shared) entries(at time.Duration) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := uint64(0)
	for key, all := range s.versions {
		if strings.HasPrefix(key, ledger.Folder+"/") && all[0].at <= at {
			n++
		}
	}
	return n
}

// remembered says whether every host knows what the store has to hold: one that
// does not may found a cluster, or follow what a backup brings back.
func (w *world) remembered(args []string) bool {
	last := uint64(0)
	if args[0] == storeBefore && len(args) > 1 {
		d, _ := time.ParseDuration(args[1])
		if last = w.store.entries(w.now() - d); last == 0 {
			return false // no backup is as old as that
		}
	}
	for _, n := range w.names {
		if !w.hosts[n].knows(last) {
			return false
		}
	}
	return true
}

// knows says whether the host remembers the cluster, and an entry beyond that
// number, which it must not do without.
func (h *host) knows(seq uint64) bool { return !h.forgets && h.memory.knows(h, seq) }

// repair is what the operator's command does with the store that there is now,
// which is the cluster's from here on.
func (w *world) repair() error {
	if len(w.running()) > 0 {
		return errors.New("a daemon runs")
	}
	w.mu.Lock()
	s := w.store
	if w.swapped != nil {
		s = w.swapped
	}
	w.mu.Unlock()
	c, err := clusterview.Identify(outside, s)
	if err != nil {
		return err
	}
	survey, err := ledger.Walk(outside, s, c.ID)
	if err != nil {
		return err
	}
	left, err := c.Leftovers(outside)
	if err != nil {
		return err
	}
	e := survey.Repair(survey.End, left.Evidence())
	e.Node, e.By, e.Why, e.Time = "operator", "operator", "repair", time.Now()
	data, err := record.Seal(record.KindEntry, e)
	if err != nil {
		return err
	}
	w.mu.Lock()
	s.name, w.store, w.swapped, w.healed = "", s, nil, w.now()
	w.mu.Unlock()
	return s.write("create", ledger.Key(e.Seq), data, "operator")
}

// repaired holds a repair against what was decided before: it lies above all of it.
func (l *ledgerRules) repaired(prev, e *ledger.Entry) {
	w := l.w
	if e.Seq <= prev.Seq || e.Epoch <= prev.Epoch || e.State.Armed || e.State.Master != "" {
		w.violated("history", "the repair is entry %d of epoch %d, master %q, armed %t; the ledger had come to %d, %d",
			e.Seq, e.Epoch, e.State.Master, e.State.Armed, prev.Seq, prev.Epoch)
	}
	for _, name := range sortedKeys(e.State.VMs) {
		if was, ok := prev.State.VMs[name]; ok && e.State.VMs[name].Generation <= was.Generation {
			w.violated("history", "the repair leaves %s at generation %d, it had come to %d", name, e.State.VMs[name].Generation, was.Generation)
		}
	}
}

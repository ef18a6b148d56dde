package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// join makes this node a member: the master writes it into the ledger when it
// reads the request. Until then nothing is written under the node's name.
func (n *Node) join(ctx context.Context) error {
	if done, err := n.bound(); done || err != nil {
		return err
	}
	id := n.cfg.Memory.Identity()
	r := &record.Request{
		Cluster: n.cluster, ID: record.NewID(), Action: record.ActJoin, Node: n.cfg.Name,
		By: "node " + n.cfg.Name, Time: n.cfg.Clock.Wall(),
		Join: &record.Join{
			Role: n.cfg.Role, Priority: n.cfg.Priority, Machine: id.Machine, Key: id.Fingerprint,
			URL: n.cfg.URL, Version: n.cfg.Version,
		},
	}
	n.log.Info().Msgf("ask to join cluster %s", n.cluster)
	for sent := false; ; {
		if !sent {
			err := n.ask(ctx, r)
			sent = err == nil
			if err != nil {
				n.log.Warn().Err(err).Msg("the request to join was not answered")
			}
		}
		if err := Pause(ctx, n.timings().Interval); err != nil {
			return err
		}
		if _, err := n.ledger.Refresh(ctx); err != nil {
			n.log.Warn().Err(err).Msg("the ledger cannot be read")
			continue
		}
		if done, err := n.bound(); done || err != nil {
			return err
		}
		if tail := n.ledger.Tail(); tail.State.Closed {
			return Moved(tail) // nobody is left who could answer
		}
		if a, ok := n.ledger.Tail().State.Answers[r.ID]; ok && !a.OK {
			return fmt.Errorf("%w: %s", ErrName, a.Text)
		}
	}
}

// bound says whether the ledger binds this node's name to this machine.
func (n *Node) bound() (bool, error) {
	m, ok := n.member()
	if !ok {
		return false, nil
	}
	id := n.cfg.Memory.Identity()
	if m.Machine != id.Machine || m.Key != id.Fingerprint {
		return false, fmt.Errorf("%w: the name %q is bound to another machine or another --state-dir", ErrName, n.cfg.Name)
	}
	if m.Role != n.cfg.Role {
		return false, fmt.Errorf("%w: --role %s given, but %s is a %s", ErrSettings, n.cfg.Role, n.cfg.Name, m.Role)
	}
	return true, n.remember()
}

// ask writes a request, the same one until it is made.
func (n *Node) ask(ctx context.Context, r *record.Request) error {
	data, err := record.Seal(record.KindRequest, r)
	if err != nil {
		return err
	}
	err = n.lanes.requests.Create(ctx, record.RequestKey(r.ID), data)
	if errors.Is(err, persistence.ErrExists) {
		return nil
	}
	return err
}

// mode refuses what --ha-mode says must not be: a master beside a living one, a
// standby of none.
func (n *Node) mode(ctx context.Context) error {
	switch n.cfg.Mode {
	case ModeMaster, ModeStandby, ModeHotStandby:
	default:
		return nil
	}
	for range 4 {
		s := n.ledger.Tail().State
		if s.Master != "" && s.Master != n.cfg.Name {
			n.observer.Claimed(masterOf(n.ledger.Tail()), n.now())
			if err := n.look(ctx, s.Master); err != nil {
				return err
			}
		}
		if err := Pause(ctx, n.timings().Interval); err != nil {
			return err
		}
		if _, err := n.ledger.Refresh(ctx); err != nil {
			return err
		}
	}
	s := n.ledger.Tail().State
	lives := s.Master != "" && n.observer.Node(s.Master).Standing == lease.Alive && !n.observer.Vacancy().Vacant
	switch {
	case n.cfg.Mode == ModeMaster && lives:
		return fmt.Errorf("%w: --ha-mode master, but %s is master and lives", ErrMode, s.Master)
	case n.cfg.Mode != ModeMaster && !lives:
		return fmt.Errorf("%w: --ha-mode %s, but no master lives", ErrMode, n.cfg.Mode)
	}
	return nil
}

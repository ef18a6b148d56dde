package clusterview

import (
	"context"
	"errors"
	"fmt"

	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Key is the cluster's identity.
const Key = "cluster.json"

// ErrNone: the store holds no cluster at all. It comes with node.ErrCluster.
var ErrNone = errors.New("no cluster")

// Cluster is a cluster whose identity was read.
type Cluster struct {
	record.Cluster
	Store  persistence.Store
	Ledger *ledger.Ledger
}

// Identify reads whose store this is. The errors are node.ErrCluster or the
// store's.
func Identify(ctx context.Context, s persistence.Store) (*Cluster, error) {
	c := &Cluster{Store: s}
	obj, err := s.Get(ctx, Key)
	if errors.Is(err, persistence.ErrNotFound) {
		last, lerr := ledger.Last(ctx, s)
		switch {
		case lerr != nil:
			return nil, lerr
		case last > 0:
			return nil, fmt.Errorf("%w: the store holds a ledger but no %s", node.ErrCluster, Key)
		}
		return nil, fmt.Errorf("%w: %w: the store has no %s (is the mount missing?)", node.ErrCluster, ErrNone, Key)
	}
	if err != nil {
		return nil, err
	}
	found, err := record.OpenCluster(obj.Value)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", node.ErrCluster, Key, err)
	}
	c.Cluster = *found
	c.Ledger = ledger.New(s, c.ID)
	return c, nil
}

// Open reads whose store this is and the newest entry. A tail that cannot be
// read is a *ledger.HistoryError.
func Open(ctx context.Context, s persistence.Store) (*Cluster, error) {
	c, err := Identify(ctx, s)
	if err != nil {
		return nil, err
	}
	err = c.Ledger.Load(ctx, ledger.Mark{})
	if errors.Is(err, persistence.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w: cluster %s has no ledger entry yet: its founding was not finished",
			node.ErrCluster, ErrNone, c.ID)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

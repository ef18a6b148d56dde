package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// clusterKey is the cluster's identity, made once.
const clusterKey = "cluster.json"

// start finds or founds the cluster and makes this node a member of it.
func (n *Node) start(ctx context.Context) error {
	if err := n.identify(ctx); err != nil {
		return err
	}
	if n.cluster == "" {
		if err := n.prove(ctx); err != nil {
			return err
		}
		if err := n.found(ctx); err != nil {
			return err
		}
	}
	n.ledger.Follow(n.cluster)
	if err := n.load(ctx); err != nil {
		return err
	}
	if err := n.cfg.Memory.SetCluster(n.cluster, n.cfg.StoreURL); err != nil {
		return err
	}
	if err := n.remember(); err != nil {
		return err
	}
	if err := n.agree(); err != nil {
		return err
	}
	if _, err := n.bound(); err != nil {
		return err
	}
	n.observer = lease.NewObserver(n.now(), n.inForce())
	if err := n.mode(ctx); err != nil {
		return err
	}
	if err := n.prove(ctx); err != nil {
		return err
	}
	if err := n.alone(ctx); err != nil {
		return err
	}
	if err := n.join(ctx); err != nil {
		return err
	}
	if err := n.host.begin(ctx); err != nil {
		return err
	}
	n.observer = lease.NewObserver(n.now(), n.inForce())
	n.log.Info().Str("cluster", n.cluster).Uint64("ledger_seq", n.ledger.Tail().Seq).
		Msgf("node failover time is: %g seconds", n.timings().Timeout.Seconds())
	return n.newIncarnation()
}

// readsWrites sends the ledger's writes through a lane of their own, so that a
// renewal's read of the tail never waits for them.
type readsWrites struct {
	persistence.Store
	writes persistence.Store
}

func (s readsWrites) Create(ctx context.Context, key string, value []byte) error {
	return s.writes.Create(ctx, key, value)
}

// prove makes sure, before the first write and once, that the store honours
// Create: one that does not would elect two masters.
func (n *Node) prove(ctx context.Context) error {
	if n.proved {
		return nil
	}
	if err := persistence.Prove(ctx, n.cfg.Store); err != nil {
		return err
	}
	n.proved = true
	return nil
}

// identify reads cluster.json and holds it against what this node remembers.
func (n *Node) identify(ctx context.Context) error {
	known, _ := n.cfg.Memory.Cluster()
	obj, err := n.cfg.Store.Get(ctx, clusterKey)
	switch {
	case errors.Is(err, persistence.ErrNotFound) && known != "":
		return fmt.Errorf("%w: %s holds no cluster, but this node remembers cluster %s: is the mount missing?",
			ErrCluster, n.cfg.StoreURL, known)
	case errors.Is(err, persistence.ErrNotFound):
		return n.mayFound(ctx)
	case err != nil:
		return err
	}
	c, err := record.OpenCluster(obj.Value)
	if err != nil {
		return fmt.Errorf("%w: %s of %s: %w", ErrCluster, clusterKey, n.cfg.StoreURL, err)
	}
	if known != "" && known != c.ID {
		return fmt.Errorf("%w: %s holds cluster %s, but this node remembers cluster %s", ErrCluster, n.cfg.StoreURL, c.ID, known)
	}
	n.cluster = c.ID
	return nil
}

// mayFound says whether a store without cluster.json may become a cluster.
func (n *Node) mayFound(ctx context.Context) error {
	last, err := ledger.Last(ctx, n.cfg.Store)
	switch {
	case err != nil:
		return err
	case last > 0:
		return fmt.Errorf("%w: %s holds a ledger but no %s", ErrCluster, n.cfg.StoreURL, clusterKey)
	case n.cfg.Role != ledger.RoleWorker && !n.founds():
		return fmt.Errorf("%w: --ha-mode %s, but %s holds no cluster", ErrMode, n.cfg.Mode, n.cfg.StoreURL)
	case n.cfg.Join:
		return fmt.Errorf("%w: %s holds no cluster, and --join says that there must be one", ErrCluster, n.cfg.StoreURL)
	case n.cfg.Role == ledger.RoleWorker:
		return fmt.Errorf("%w: %s holds no cluster, and a worker founds none", ErrCluster, n.cfg.StoreURL)
	}
	return nil
}

// founds says whether this node may be the first member of a cluster. One that
// never claims would keep it without a master, and so without other members.
func (n *Node) founds() bool {
	return n.cfg.Role != ledger.RoleWorker && (n.cfg.Mode == ModeAuto || n.cfg.Mode == ModeMaster)
}

// found makes cluster.json, or finds that another node was faster.
func (n *Node) found(ctx context.Context) error {
	c := record.Cluster{ID: record.NewID(), Format: record.Format, Founder: n.cfg.Name, Founded: n.cfg.Clock.Wall()}
	data, err := record.Seal(record.KindCluster, c)
	if err != nil {
		return err
	}
	err = n.cfg.Store.Create(ctx, clusterKey, data)
	if err != nil && !errors.Is(err, persistence.ErrExists) && !errors.Is(err, persistence.ErrUnknown) {
		return err
	}
	// Whatever became of it, what stands there is the cluster.
	if err := n.identify(ctx); err != nil {
		return err
	}
	if n.cluster == "" {
		return fmt.Errorf("%w: %s was made and cannot be read back", persistence.ErrRefused, clusterKey)
	}
	return nil
}

// load reads the ledger; where there is none yet it makes the first entry, and
// so finishes a founding that somebody may have begun.
func (n *Node) load(ctx context.Context) error {
	seq, hash := n.cfg.Memory.Tail()
	known := ledger.Mark{Seq: seq, Hash: hash}
	err := n.ledger.Load(ctx, known)
	switch notFound := errors.Is(err, persistence.ErrNotFound); {
	case notFound && !n.founds():
		return fmt.Errorf("%w: the founding of cluster %s in %s is not finished, and this node (--role %s, --ha-mode %s) founds none",
			ErrCluster, n.cluster, n.cfg.StoreURL, n.cfg.Role, n.cfg.Mode)
	case notFound:
		if err := n.prove(ctx); err != nil {
			return err
		}
		if err := n.foundLedger(ctx); err != nil {
			return err
		}
		err = n.ledger.Load(ctx, known)
	}
	if _, ok := errors.AsType[*ledger.HistoryError](err); ok {
		// A node that was at the new place knows of more than the place it left.
		if last, rerr := n.newest(ctx); rerr == nil && last.State.Closed {
			return Moved(last)
		}
		return fmt.Errorf("%w: %s: %w; see: hoster-ha ledger repair", ErrCluster, n.cfg.StoreURL, err)
	}
	if tail := n.ledger.Tail(); err == nil && tail.State.Closed {
		return Moved(tail)
	}
	return err
}

// newest reads the newest entry, whatever is remembered.
func (n *Node) newest(ctx context.Context) (ledger.Stored, error) {
	last, err := ledger.Last(ctx, n.cfg.Store)
	if err != nil {
		return ledger.Stored{}, err
	}
	return ledger.Read(ctx, n.cfg.Store, n.cluster, last)
}

// Moved says where a cluster has gone whose ledger is closed.
func Moved(tail ledger.Stored) error {
	return fmt.Errorf("%w: cluster %s has moved to %s: give that address", ErrCluster, tail.Cluster, tail.State.MovedTo)
}

func (n *Node) foundLedger(ctx context.Context) error {
	id := n.cfg.Memory.Identity()
	e := &ledger.Entry{
		Node: n.cfg.Name, Incarnation: "", Time: n.cfg.Clock.Wall(),
		By: "node " + n.cfg.Name, Why: "found the cluster",
		State: ledger.State{
			Timings: n.cfg.Timings, Debug: n.cfg.Debug,
			Members: map[string]ledger.Member{n.cfg.Name: {
				Role: n.cfg.Role, Priority: n.cfg.Priority, Machine: id.Machine, Key: id.Fingerprint,
				URL: n.cfg.URL, Version: n.cfg.Version,
			}},
		},
	}
	err := n.ledger.Found(ctx, e)
	if err != nil && !errors.Is(err, persistence.ErrExists) && !errors.Is(err, persistence.ErrUnknown) {
		return err
	}
	return nil
}

// remember keeps the newest entry read in local memory: a shorter or another history
// is never followed from here on. What was only made is not remembered: it may lie in
// a store that was exchanged just before.
func (n *Node) remember() error {
	read := n.ledger.Read()
	seq, hash := n.cfg.Memory.Tail()
	switch {
	case seq == read.Seq && hash == read.Hash:
		return nil
	case read.Seq < seq:
		return fmt.Errorf("ledger: %d remembered, %d read", seq, read.Seq)
	}
	return n.cfg.Memory.SetTail(read.Seq, read.Hash)
}

// agree holds this node's settings against the cluster's.
func (n *Node) agree() error {
	s := n.ledger.Tail().State
	if n.cfg.TimingsGiven && n.cfg.Timings != s.Timings {
		return fmt.Errorf("%w: --timeout %s --interval %s given, the cluster has %s and %s; to change them: hoster-ha freeze, hoster-ha timings --set",
			ErrSettings, n.cfg.Timings.Timeout, n.cfg.Timings.Interval, s.Timings.Timeout, s.Timings.Interval)
	}
	if n.cfg.Debug && !s.Debug {
		return fmt.Errorf("%w: --ha-debug given, but the cluster was founded without it, or it was turned off; to turn it on: hoster-ha freeze, hoster-ha debug on", ErrSettings)
	}
	return nil
}

// alone waits until the record under this node's name has stood still: a
// process that moves it is another one of this name.
func (n *Node) alone(ctx context.Context) error {
	first, err := n.ownRecord(ctx)
	n.before = first
	if err != nil || first == nil || first.Ending {
		n.restartSafe = first != nil && first.Boot == n.cfg.Boot
		return err
	}
	if err := Pause(ctx, 3*n.timings().Interval); err != nil {
		return err
	}
	again, err := n.ownRecord(ctx)
	if err != nil {
		return err
	}
	if again != nil && (again.Incarnation != first.Incarnation || again.Seq != first.Seq) {
		return fmt.Errorf("%w: another process writes heartbeats as %q (machine %s)", ErrName, n.cfg.Name, again.Machine)
	}
	n.restartSafe = first.Boot == n.cfg.Boot
	return nil
}

// ownRecord is the heartbeat under this node's name; nil for none, or for one
// that cannot be read and will be overwritten.
func (n *Node) ownRecord(ctx context.Context) (*record.Heartbeat, error) {
	obj, err := n.cfg.Store.Get(ctx, record.HeartbeatKey(n.cfg.Name))
	if errors.Is(err, persistence.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	hb, err := record.OpenHeartbeat(n.cluster, n.cfg.Name, obj.Value)
	switch {
	case errors.Is(err, record.ErrNewer):
		return nil, fmt.Errorf("%w: the heartbeat of %s: %w", ErrCluster, n.cfg.Name, err)
	case err != nil:
		n.log.Warn().Err(err).Msgf("the heartbeat found under the name %s is overwritten", n.cfg.Name)
		return nil, nil
	}
	return hb, nil
}

// Pause lets a time pass, or gives the cause why ctx has ended before.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// newIncarnation begins an unbroken holding, to be admitted anew.
func (n *Node) newIncarnation() error {
	id := record.NewID()
	if err := n.cfg.Memory.SetIncarnation(id); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.holder = lease.NewHolder(id)
	n.seq = 0
	const kept = 100 // long enough that no write of the oldest is still under way
	if n.mine = append(n.mine, id); len(n.mine) > kept {
		n.mine = slices.Clone(n.mine[1:])
	}
	return nil
}

package integration

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

// Timings of the clusters here, unless a benchmark says otherwise.
const (
	takeoverTimeout = 3 * time.Second
	interval        = 200 * time.Millisecond
)

// patience bounds every wait for something that takes seconds: only what does
// not come at all is a failure.
const patience = 90 * time.Second

// cluster is some daemons over one store, seen from outside.
type cluster struct {
	tb      testing.TB
	dir     string
	where   []string // the store, as flags
	store   persistence.Store
	daemons []*daemon
	timings []string
	watch   *watch
	client  *http.Client

	id      string
	entries []ledger.Stored
}

// newCluster makes a cluster over the store at an address; "" is an empty folder of its
// own. What runs in it ends with the test.
func newCluster(tb testing.TB, address string, extra ...string) *cluster {
	tb.Helper()
	dir := tb.TempDir()
	c := &cluster{
		tb: tb, dir: dir, where: []string{"--persist-url", address}, watch: &watch{of: map[uint64]string{}},
		client:  &http.Client{Timeout: time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}},
		timings: []string{"--timeout", takeoverTimeout.String(), "--interval", interval.String()},
	}
	c.timings = append(c.timings, extra...)
	if address == "" {
		address = filepath.Join(dir, "shared")
		if err := os.Mkdir(address, 0o700); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { removeAll(address) })
		c.where = []string{"--persist-dir", address}
	}
	var err error
	if c.store, err = stores.Open(address); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.end)
	return c
}

// end ends every daemon, judges what the witnesses saw, and leaves nothing.
func (c *cluster) end() {
	for _, d := range c.daemons {
		if d.proc != nil {
			d.kill()
		}
	}
	c.client.CloseIdleConnections()
	for _, fault := range c.faults() {
		c.tb.Error(fault)
	}
	if c.tb.Failed() {
		for _, d := range c.daemons {
			d.show()
		}
		c.tell()
	}
	_ = persistence.Close(c.store) // nothing is lost with a connection
}

// faults are what the ledger and the primaries' watch tell against the program.
func (c *cluster) faults() []string {
	j := judge(c.read())
	c.watch.against(j.claimed)
	return append(j.faults, c.watch.found()...)
}

// tell shows the ledger.
func (c *cluster) tell() {
	var out strings.Builder
	const most = 80
	for _, e := range c.entries[max(0, len(c.entries)-most):] {
		out.WriteString(e.Time.Format("15:04:05.000 ") + e.Kind + " " + e.Node + ": " + e.Why + "\n")
	}
	c.tb.Logf("ledger, its last entries of %d:\n%s", len(c.entries), out.String())
}

// add makes a daemon that is not started yet.
func (c *cluster) add(name string, args ...string) *daemon {
	d := &daemon{tb: c.tb, name: name, client: c.client, log: filepath.Join(c.dir, name+".log")}
	d.args = append(slices.Clone(c.where),
		"--state-dir", filepath.Join(c.dir, "state-"+name), "--node-name", name,
		"--listen", "127.0.0.1:0", "--log-format", "json")
	d.args = append(d.args, c.timings...)
	d.args = append(d.args, args...)
	c.daemons = append(c.daemons, d)
	return d
}

// observe has all daemons asked who is primary, until the test ends.
func (c *cluster) observe() {
	ctx, cancel := context.WithCancel(c.tb.Context())
	var wg sync.WaitGroup
	for _, d := range c.daemons {
		wg.Go(func() { c.watch.follow(ctx, d) })
	}
	c.tb.Cleanup(func() {
		cancel()
		wg.Wait()
		if !c.tb.Failed() && c.watch.answers() == 0 {
			c.tb.Error("nobody ever answered 200 on /primary: this witness was blind")
		}
	})
}

// await waits for a condition, and fails at once if a witness accuses.
func (c *cluster) await(what string, yes func() bool) {
	c.tb.Helper()
	began := time.Now()
	if !poll(patience, 20*time.Millisecond, func() bool { return yes() || len(c.watch.found()) > 0 }) {
		c.tb.Fatalf("it did not come, within %s: %s", time.Since(began).Round(time.Second), what)
	}
	if faults := c.watch.found(); len(faults) > 0 {
		c.tb.Fatalf("while waiting for %s: %v", what, faults)
	}
}

// holds asserts that a condition stays for a time.
func (c *cluster) holds(what string, d time.Duration, yes func() bool) {
	c.tb.Helper()
	if poll(d, 20*time.Millisecond, func() bool { return !yes() }) {
		c.tb.Fatalf("it did not last for %s: %s", d, what)
	}
}

// read reads what is new in the ledger.
func (c *cluster) read() []ledger.Stored {
	c.tb.Helper()
	for {
		e, err := ledger.Read(context.Background(), c.store, "", uint64(len(c.entries))+1)
		if errors.Is(err, persistence.ErrNotFound) {
			return c.entries
		}
		if err != nil {
			c.tb.Errorf("the ledger from outside: %v", err)
			return c.entries
		}
		c.id = e.Cluster
		c.entries = append(c.entries, e)
	}
}

// tail is the newest entry; Entry is nil before there is one.
func (c *cluster) tail() ledger.Stored {
	c.tb.Helper()
	if all := c.read(); len(all) > 0 {
		return all[len(all)-1]
	}
	return ledger.Stored{}
}

// heartbeat reads a node's; nil when there is none that can be read.
func (c *cluster) heartbeat(node string) *record.Heartbeat {
	obj, err := c.store.Get(context.Background(), record.HeartbeatKey(node))
	if err != nil {
		return nil
	}
	hb, err := record.OpenHeartbeat(c.id, node, obj.Value)
	if err != nil {
		return nil
	}
	return hb
}

// inventory reads a host's; nil when there is none that can be read.
func (c *cluster) inventory(node string) *record.Inventory {
	obj, err := c.store.Get(context.Background(), record.InventoryKey(node))
	if err != nil {
		return nil
	}
	inv, err := record.OpenInventory(c.id, node, obj.Value)
	if err != nil {
		return nil
	}
	return inv
}

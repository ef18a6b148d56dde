package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/integration/servers"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

// BenchmarkMembersOnMinIO lets more and more members write a heartbeat each second to
// one MinIO beside one real master: the table of docs/results.md. The members are
// written by this process, on the same cores. With 800 the master has no time any more
// to read each of them in each beat.
func BenchmarkMembersOnMinIO(b *testing.B) {
	server := servers.Start(b, servers.MinIO)
	server.Bucket(b, "cluster")
	c := newCluster(b, "minio+http://"+server.Address+"/cluster/ha", "--timeout", "30s", "--interval", "1s")
	master := c.add("master")
	master.start()
	c.settle()
	crowd := &crowd{c: c, server: server}
	b.Cleanup(crowd.end)
	b.Logf("%8s %10s %10s %8s %12s %10s %10s %8s", "members", "put p50", "put p99", "failed", "master %core", "requests/s", "MinIO %core", "misjudged")
	for _, n := range []int{10, 25, 50, 100, 200, 400, 800} {
		if !crowd.grow(n) {
			b.Logf("%d members: not all could join", n)
			break
		}
		if !crowd.measure(b, master) {
			break
		}
	}
	metric(b, "ns/op", 0)
}

// crowd is many members that do nothing but say that they live.
type crowd struct {
	c      *cluster
	server *servers.Server
	alive  []*member

	mu     sync.Mutex
	took   []time.Duration
	failed int
}

type member struct {
	store persistence.Store
	stop  context.CancelFunc
	done  chan struct{}
}

func (w *crowd) end() {
	for _, m := range w.alive {
		m.stop()
	}
	for _, m := range w.alive {
		<-m.done
		_ = persistence.Close(m.store) // nothing is lost with a connection
	}
}

// grow lets members join until there are n; false if they are not all taken in.
func (w *crowd) grow(n int) bool {
	w.c.tb.Helper()
	for len(w.alive) < n {
		name := fmt.Sprintf("member%03d", len(w.alive))
		s, err := stores.Open(w.c.where[1])
		if err != nil {
			w.c.tb.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		m := &member{store: s, stop: cancel, done: make(chan struct{})}
		r := record.Request{
			Cluster: w.c.tail().Cluster, ID: record.NewID(), Action: record.ActJoin, Node: name, By: name, Time: time.Now(),
			Join: &record.Join{Role: ledger.RoleWorker, Machine: name, Key: name, Version: "1.0"},
		}
		data, err := record.Seal(record.KindRequest, r)
		if err == nil {
			err = s.Create(ctx, record.RequestKey(r.ID), data)
		}
		if err != nil {
			w.c.tb.Fatal(err)
		}
		w.alive = append(w.alive, m)
		go w.beat(ctx, m, name, w.c.entries[0])
	}
	return poll(patience, 200*time.Millisecond, func() bool { return len(w.c.tail().State.Members) == n+1 })
}

// beat writes a member's heartbeats, each at its own moment of the second.
func (w *crowd) beat(ctx context.Context, m *member, name string, tail ledger.Stored) {
	defer close(m.done)
	hb := record.Heartbeat{
		Cluster: tail.Cluster, Node: name, Incarnation: record.NewID(), State: "STANDBY", LedgerSeq: tail.Seq, LedgerHash: tail.Hash,
		Timings: tail.State.Timings, Proof: record.ProofNothing, Machine: name, Boot: name, Version: "1.0", Held: true, NoVMs: true,
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for hb.Seq = 1; ; hb.Seq++ {
		hb.Wall = time.Now()
		data, err := record.SealHeartbeat(&hb)
		if err == nil {
			began := time.Now()
			put, cancel := context.WithTimeout(ctx, 5*time.Second)
			err = m.store.Put(put, record.HeartbeatKey(name), data)
			cancel()
			w.mu.Lock()
			w.took = append(w.took, time.Since(began))
			w.mu.Unlock()
		}
		if err != nil && ctx.Err() == nil {
			w.mu.Lock()
			w.failed++
			w.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// measure writes one row, and says whether all is still well.
func (w *crowd) measure(b *testing.B, master *daemon) bool {
	b.Helper()
	const during = 20 * time.Second
	pause(5 * time.Second) // those who have just joined are admitted
	w.mu.Lock()
	w.took, w.failed = nil, 0
	w.mu.Unlock()
	over, sent := master.said("the lease of"), requests(b, master)
	mine, err := stat(master.proc.pid())
	its, serr := stat(w.server.PID())
	if err != nil || serr != nil {
		b.Fatal(err, serr)
	}
	pause(during)
	mine2, err := stat(master.proc.pid())
	its2, serr := stat(w.server.PID())
	if err != nil || serr != nil {
		b.Fatal(err, serr)
	}
	misjudged := master.said("the lease of") - over
	w.mu.Lock()
	took, failed := slices.Clone(w.took), w.failed
	w.mu.Unlock()
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	core := func(d time.Duration) float64 { return 100 * d.Seconds() / during.Seconds() }
	b.Logf("%8d %10s %10s %8d %12.1f %10.0f %10.0f %8d", len(w.alive), median(took).Round(100*time.Microsecond), p99.Round(100*time.Microsecond), failed,
		core(mine2.own-mine.own), float64(requests(b, master)-sent)/during.Seconds(), core(its2.own-its.own), misjudged)
	return p99 < time.Second && failed == 0 && misjudged == 0 && master.state() == "MASTER"
}

var requestCount = regexp.MustCompile(`(?m)^hoster_ha_store_requests_total\{.*\} ([0-9.e+]+)$`)

// requests that a daemon has sent to the store.
func requests(tb testing.TB, d *daemon) int {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, *d.at.Load()+"/metrics", nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	total := 0.0
	for _, m := range requestCount.FindAllSubmatch(text, -1) {
		n, _ := strconv.ParseFloat(string(m[1]), 64)
		total += n
	}
	return int(total)
}

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/integration/servers"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// The server under a cluster with VMs dies and comes back: within the renew deadline
// nobody notices; after it all VMs have stopped themselves, and start where they were.
func TestServerDies(t *testing.T) {
	t.Parallel()
	timings, err := lease.NewTimings(10*time.Second, 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	server := servers.Start(t, servers.MinIO)
	server.Bucket(t, "cluster")
	l := newLabAt(t, "minio+http://"+server.Address+"/cluster/ha", true, threeHosts,
		"--timeout", timings.Timeout.String(), "--interval", timings.Interval.String())

	for slow := 0; !l.shortOutage(server, timings.Renew); slow++ {
		if slow >= maxSlow {
			t.Fatal("the server does not come back within the renew deadline")
		}
		t.Log("the machine is too busy: it is done once more")
	}

	l.ready()
	before, began := l.tail(), boottime.Now()
	lost := l.lost(nil)
	server.Kill()
	// Nothing here asks the store until it is back.
	l.await("every lease is lost", func() bool { return l.lost(nil) >= lost+len(l.daemons) })
	l.await("every VM has stopped itself", func() bool {
		for vm := range before.State.VMs {
			if len(l.runsOn(vm)) > 0 {
				return false
			}
		}
		return true
	})
	server.Run(t)
	l.settle()
	l.await("all VMs run again", l.allRun)
	after := l.tail()
	for vm, v := range before.State.VMs {
		if now := after.State.VMs[vm]; now.Owner != v.Owner {
			t.Errorf("%s has moved from %s to %s for an outage common to all", vm, v.Owner, now.Owner)
		}
	}
	t.Logf("all VMs run again %s after the server was killed, %s after the leases ended at the latest",
		(boottime.Now() - began).Round(time.Millisecond), (boottime.Now() - began - timings.Renew).Round(time.Millisecond))
}

// The server under a cluster stops answering, and keeps its connections: the daemons
// lose their leases, say what hangs, and end when they are told to.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	server := servers.Start(t, servers.MinIO)
	server.Bucket(t, "cluster")
	c := newCluster(t, "s3://cluster/ha?path-style=true&endpoint=http://"+server.Address)
	a, b := c.add("a"), c.add("b")
	a.start()
	b.start()
	c.settle()
	c.observe()
	lost := c.lost(nil)
	server.Freeze(t)
	defer server.Thaw(t) // whatever comes; what is frozen cannot be asked for anything
	c.await("every lease is lost", func() bool { return c.lost(nil) >= lost+2 })
	for _, d := range c.daemons {
		if d.said("the beat failed") == 0 {
			t.Errorf("%s has not said what hangs", d.name)
		}
		c.await(d.name+" answers people, and is no master", func() bool {
			state := d.state()
			return state != "" && state != "MASTER"
		})
	}
	a.terminate()
	server.Thaw(t)
	a.start()
	c.settle()
}

// The demonstration runs over a bucket as it does over a folder.
func TestDemoOnMinIO(t *testing.T) {
	t.Parallel()
	server := servers.Start(t, servers.MinIO)
	server.Bucket(t, "cluster")
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := launch(t, out, "demo", "--persist-url", "minio+http://"+server.Address+"/cluster/demo")
	defer p.kill()
	if !poll(2*patience, 100*time.Millisecond, p.ended) {
		t.Error("the demonstration does not end")
	}
	p.kill()
	text, err := os.ReadFile(out.Name())
	if p.err != nil || err != nil || !strings.Contains(string(text), " 0 violations") {
		t.Errorf("%v, %v\n%s", p.err, err, text)
	}
}

// shortOutage is one that every lease outlives; false if the machine is too slow for
// it.
func (l *lab) shortOutage(server *servers.Server, renew time.Duration) bool {
	l.tb.Helper()
	l.ready()
	before, lost, began := l.tail(), l.lost(nil), boottime.Now()
	server.Kill()
	server.Run(l.tb)
	took := boottime.Now() - began
	l.settle()
	l.await("all VMs run", l.allRun)
	if l.lost(nil) != lost {
		return false
	}
	l.tb.Logf("the server was away for %s of the %s that leases last", took.Round(time.Millisecond), renew)
	after := l.tail()
	if after.Epoch != before.Epoch {
		l.tb.Errorf("epoch %d, before it was %d", after.Epoch, before.Epoch)
	}
	for vm, v := range before.State.VMs {
		if now := after.State.VMs[vm]; now.Owner != v.Owner || now.Generation != v.Generation {
			l.tb.Errorf("%s was started again for an outage that is tolerated", vm)
		}
	}
	return true
}

package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/integration/servers"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

// A cluster moves from a folder to a bucket under its running VMs: no VM is stopped or
// started for it, whoever is left on the old store decides nothing more, and in the new
// one the cluster fails over as before.
func TestMoveToAnotherStore(t *testing.T) {
	t.Parallel()
	server := servers.Start(t, servers.MinIO)
	server.Bucket(t, "cluster")
	to := "minio+http://" + server.Address + "/cluster/ha"
	l := newLab(t, true, threeHosts)
	from := l.where[1]
	l.ready()

	if out, err := l.run("store", "copy", from, to); err == nil || !strings.Contains(out, "hoster-ha freeze") {
		t.Fatalf("of a cluster that is not frozen: %v\n%s", err, out)
	}
	began := boottime.Now()
	lost := l.lost(nil)
	l.op("freeze")
	t.Log(l.op("store", "copy", from, to))
	closed := l.tail()
	if !closed.State.Closed || closed.State.MovedTo != to {
		t.Fatalf("the old store ends with %+v", closed.Entry)
	}
	l.await("every lease is lost", func() bool { return l.lost(nil) >= lost+len(l.daemons) })
	l.undisturbed(began)
	l.await("all say where the cluster is", func() bool {
		out, err := l.run("status")
		return err == nil && strings.Count(out, "moved to "+to) > len(l.daemons)
	})
	if out, err := l.run("arm"); err == nil || !strings.Contains(out, "has moved to "+to) {
		t.Errorf("the old store takes requests: %v\n%s", err, out)
	}
	l.holds("nobody decides anything in the old store", 2*takeoverTimeout, func() bool { return l.tail().Hash == closed.Hash })

	l.moved(to)
	// One by one: the first ones work beside the last one, which knows of nothing yet.
	for _, d := range l.daemons {
		d.terminate()
		d.args[0], d.args[1] = "--persist-url", to
		d.start()
		l.await(d.name+" is admitted in the new store", func() bool {
			m, hb := l.tail().State.Members[d.name], l.heartbeat(d.name)
			return hb != nil && m.Admitted == hb.Incarnation
		})
	}
	l.settle()
	l.undisturbed(began)
	l.op("arm")
	l.ready()
	l.undisturbed(began)
	l.await("the silence of every host proves something again", func() bool {
		for _, m := range l.tail().State.Members {
			if m.Proof != record.ProofElapsed {
				return false
			}
		}
		return true
	})

	master := l.masterWithVMs()
	vms, died := owned(l.tail().State, master.name), boottime.Now()
	l.powerOff(master)
	l.await("its VMs run elsewhere", l.allRun)
	l.newest(died, master.name)
	if len(vms) == 0 {
		t.Error("the master had no VM")
	}

	// Whoever comes back with the old address is told.
	master.args[1] = from
	master.launch()
	l.await("it ends, since the cluster is elsewhere", master.proc.ended)
	if said := master.lines(master.from); len(said) == 0 || !strings.Contains(said[len(said)-1].Message, "has moved to "+to) {
		t.Errorf("%s says last: %+v", master.name, said)
	}
}

// moved: the cluster is looked at in its new place from here on.
func (c *cluster) moved(to string) {
	c.tb.Helper()
	s, err := stores.Open(to)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(func() { _ = persistence.Close(s) })
	c.store, c.where = s, []string{"--persist-url", to}
}

// undisturbed: every VM runs where it ran, and none was started or stopped since.
func (l *lab) undisturbed(since time.Duration) {
	l.tb.Helper()
	if !l.allRun() {
		l.tb.Error("not every VM runs where the ledger says")
	}
	for _, a := range l.acts("start", "stop") {
		if a.at() > since {
			l.tb.Errorf("%s of %s on %s", a.Kind, a.VM, a.Host)
		}
	}
}

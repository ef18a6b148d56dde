package integration

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

// The file server under a cluster with VMs stops answering. Whoever asks it waits in the
// kernel: that takes a bounded number of threads, the daemons lose their leases and
// fence themselves all the same, answer people, say what hangs, and end when they are
// told to. When it answers again, all goes on.
func TestFolderHangs(t *testing.T) {
	t.Parallel()
	s := newStuckFolder(t)
	l := newLabAt(t, s.path, true, map[string][]string{"a": {"a1"}, "b": {"b1"}, "c": nil})
	var err error
	if l.store, err = stores.Open(s.behind); err != nil { // this process must not ask what it serves
		t.Fatal(err)
	}
	l.ready()
	lost, before := l.lost(nil), l.tail()
	calm := map[*daemon]int{}
	for _, d := range l.daemons {
		calm[d] = threads(t, d)
	}
	s.hang()
	l.await("every lease is lost", func() bool { return l.lost(nil) >= lost+len(l.daemons) })
	l.await("every VM has stopped itself", func() bool { return len(l.runsOn("a1"))+len(l.runsOn("b1")) == 0 })
	for _, d := range l.daemons {
		if d.said("the beat failed") == 0 {
			t.Errorf("%s has not said what hangs", d.name)
		}
		l.await(d.name+" answers people, and is no master", func() bool {
			state := d.state()
			return state != "" && state != "MASTER"
		})
	}
	// A thread for each purpose that waits, and what the runtime keeps besides.
	const most = 12
	l.holds("the threads that wait do not pile up", 2*takeoverTimeout, func() bool {
		for _, d := range l.daemons {
			if n := threads(t, d); n > calm[d]+most {
				t.Logf("%s has %d threads, before it had %d", d.name, n, calm[d])
				return false
			}
		}
		return true
	})
	last := l.daemons[2]
	told := time.Now()
	last.terminate()
	t.Logf("%s ended %s after it was told to", last.name, time.Since(told).Round(time.Millisecond))
	s.answer()
	last.start()
	l.settle()
	l.await("all VMs run again", l.allRun)
	for vm, v := range before.State.VMs {
		if now := l.tail().State.VMs[vm]; now.Owner != v.Owner {
			t.Errorf("%s has moved from %s to %s for an outage common to all", vm, v.Owner, now.Owner)
		}
	}
}

// threads of a daemon.
func threads(tb testing.TB, d *daemon) int {
	tb.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", d.proc.pid()))
	if err != nil {
		tb.Fatal(err)
	}
	return len(all)
}

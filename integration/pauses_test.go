package integration

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// A daemon that stands still for about as long as its deadline lasts, again and again: at
// whatever instant it goes on, nothing runs twice, and nothing starts under a lease that
// was lost. What the watchdog of such a host ended is started again.
func TestPausesRoundTheDeadline(t *testing.T) {
	t.Parallel()
	l := newGuardedLab(t)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	const rounds = 4
	for range rounds {
		l.pauseOwner(rnd)
	}
}

// BenchmarkPausesRoundTheDeadline is the same HOSTER_HA_ROUNDS times (1,000).
func BenchmarkPausesRoundTheDeadline(b *testing.B) {
	rounds, seed := number(b, envRounds, 1000), number(b, envSeed, int(time.Now().UnixNano()))
	say(b, "%d rounds, %s=%d", rounds, envSeed, seed)
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	l := newGuardedLab(b)
	began := time.Now()
	for i := range rounds {
		l.limitVMs()
		l.pauseOwner(rnd)
		if i%10 == 9 {
			say(b, "%d rounds in %s, %d hosts ended, epoch %d", i+1, time.Since(began).Round(time.Second),
				len(l.resets("a"))+len(l.resets("b")), l.tail().Epoch)
		}
	}
	metric(b, "ns/op", 0)
	metric(b, "rounds", float64(rounds))
	metric(b, "hosts-ended", float64(len(l.resets("a"))+len(l.resets("b"))))
	metric(b, "double-holders", float64(len(l.faults())))
	metric(b, "VM-faults", float64(len(l.vmFaults())))
}

// pauseOwner stops the daemon of the host that runs vm1 for a while that ends about when
// its lease does, or its deadline, and brings all back.
func (l *guardedLab) pauseOwner(rnd *rand.Rand) {
	l.tb.Helper()
	l.revive()
	l.ready()
	l.await("the silence of vm1's host proves that it ends", func() bool {
		l.revive()
		v := l.tail().State.VMs["vm1"]
		s, ok := l.guard(v.Owner)
		return ok && s.Armed && l.tail().State.Members[v.Owner].Proof == record.ProofElapsed
	})
	owner := l.daemons[0]
	if l.tail().State.VMs["vm1"].Owner == "b" {
		owner = l.daemons[1]
	}
	t := labTimings(l.tb)
	edge := []time.Duration{t.Renew, t.Renew + t.StopGrace, t.Stopped(), t.Timeout}[rnd.IntN(4)]
	owner.freeze()
	handed, _ := l.guard(owner.name)
	pause(edge + time.Duration(rnd.Int64N(int64(4*interval))) - 2*interval)
	owner.frozen = false
	if !owner.proc.ended() {
		owner.thaw()
	}
	// A lease may be had again before the deadline of the one before has passed, and ends the
	// host: what the watchdog is handed later counts.
	l.await("the host is ended, or guarded anew", func() bool {
		s, ok := l.guard(owner.name)
		return owner.proc.ended() || ok && s.Armed && s.Deadline > handed.Deadline
	})
}

// revive starts the daemons that were ended with their hosts.
func (l *guardedLab) revive() {
	l.tb.Helper()
	for _, d := range l.daemons {
		if d.proc.ended() {
			l.reboot(d.name)
			d.start()
		}
	}
}

// reboot lets a host's memory be of another boot: a start that was under way when the host
// was ended has ended with it.
func (l *guardedLab) reboot(host string) {
	l.tb.Helper()
	files, err := local.Dir(filepath.Join(l.dir, "state-"+host))
	if err != nil {
		l.tb.Fatal(err)
	}
	m, err := local.NewOn(files, local.Host{Boot: "the one before"})
	if err == nil {
		err = m.SetIncarnation(m.Incarnation())
	}
	if err != nil {
		l.tb.Fatal(err)
	}
}

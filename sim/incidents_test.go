package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// incident is one thing that goes wrong, begun at an instant and mostly over
// some time later.
func (g *generator) incident(at time.Duration) {
	total := 0
	for _, k := range incidents {
		total += k.weight
	}
	for n := g.IntN(total); ; {
		for _, k := range incidents {
			if n -= k.weight; n < 0 {
				k.make(g, at, g.host())
				return
			}
		}
	}
}

// lasts is how long a fault goes on: within D, between D and T, beyond T.
func (g *generator) lasts() time.Duration {
	switch g.IntN(4) {
	case 0:
		return g.between(500*time.Millisecond, 4*time.Second)
	case 1:
		return g.between(4*time.Second, 9*time.Second)
	case 2:
		return g.between(9*time.Second, 15*time.Second)
	}
	return g.between(15*time.Second, 40*time.Second)
}

var incidents = []struct {
	weight int
	make   func(g *generator, at time.Duration, h spec)
}{
	{10, func(g *generator, at time.Duration, h spec) { // the daemon dies
		g.add(at, "crash %s", h.name)
		g.add(at+g.lasts(), "start %s", h.name)
	}},
	{10, func(g *generator, at time.Duration, h spec) { // the host dies
		g.add(at, "power-off %s", h.name)
		g.add(at+g.lasts(), "power-on %s", h.name)
	}},
	{3, func(g *generator, at time.Duration, _ spec) { // all hosts die
		for _, h := range g.s.cluster {
			g.add(at+g.between(0, time.Second), "power-off %s", h.name)
			g.add(at+2*time.Second+g.lasts(), "power-on %s", h.name)
		}
	}},
	{8, func(g *generator, at time.Duration, h spec) {
		g.add(at, "pause %s %s", h.name, g.lasts())
	}},
	{8, func(g *generator, at time.Duration, h spec) {
		g.add(at, "trap %s %s %s n=%d d=%s", h.name, pick(g, "crash", "pause"), g.step(), 1+g.IntN(3), g.lasts())
	}},
	{3, func(g *generator, at time.Duration, h spec) {
		if !h.proves() {
			g.add(at, "stall %s", h.name)
			g.add(at+g.lasts(), "unstall %s", h.name)
		}
	}},
	{6, func(g *generator, at time.Duration, h spec) { // its watchdog
		// Exclusion "accepted as proved": a process alone that dies together with its
		// daemon ends no host, which is why it proves nothing unless an operator says so.
		if h.guard == "" || h.guard == guardProcess {
			return
		}
		g.add(at, pick(g, "dog %s kill", fmt.Sprintf("dog %%s stop %s", g.lasts())), h.name)
		if g.chance(0.5) { // and something else of the host
			g.add(at+g.between(0, 3*time.Second), pick(g, "crash %s", "fault %s outage for=20s", "pause %s 20s", "fault %s kill-fail for=30s"), h.name)
			g.add(at+25*time.Second, "start %s", h.name)
		}
	}},
	{4, func(g *generator, at time.Duration, h spec) { // what runs there does not stop, when it has to
		if h.guard == "" {
			return
		}
		g.add(at, "fault %s stop-fail for=40s", h.name)
		g.add(at, "fault %s kill-fail for=40s", h.name)
		if g.chance(0.5) {
			g.add(at+time.Second, "fault %s outage for=%s", h.name, g.lasts())
			return
		}
		g.add(at, "set %s onstop=%s", h.name, pick(g, "move", "stop"))
		g.add(at+time.Second, "stop %s", h.name)
		g.add(at+40*time.Second, "start %s", h.name)
	}},
	{8, func(g *generator, at time.Duration, h spec) { // in order
		g.add(at, "set %s onstop=%s", h.name, pick(g, "freeze", "move", "stop"))
		g.add(at, "stop %s", h.name)
		g.add(at+g.lasts(), "start %s", h.name)
	}},
	{10, func(g *generator, at time.Duration, h spec) {
		g.add(at, "fault %s %s for=%s", h.name, pick(g, "outage", "hang", "hang op=write", "hang op=read"), g.lasts())
	}},
	{6, func(g *generator, at time.Duration, _ spec) { // for all, or for some
		how, lasts := pick(g, "outage", "hang"), g.lasts()
		if g.chance(0.5) {
			g.add(at, "fault all %s for=%s", how, lasts)
			return
		}
		for _, h := range g.s.cluster {
			if g.chance(0.6) {
				g.add(at+g.between(0, 2*time.Second), "fault %s %s for=%s", h.name, how, lasts)
			}
		}
	}},
	{25, func(g *generator, at time.Duration, h spec) { g.storeFault(at, h) }},
	{10, func(g *generator, at time.Duration, h spec) { g.edge(at, h) }},
	{3, func(g *generator, at time.Duration, h spec) { g.forgetful(at, h) }},
	{3, func(g *generator, at time.Duration, h spec) { g.orphan(at, h) }},
	{2, func(g *generator, at time.Duration, h spec) { // exchanged between a look and a decision
		other := g.host()
		g.add(at, pick(g, "power-off %s", "stop %s"), other.name)
		decides := at + pick(g, g.between(0, 3*time.Second), g.between(9*time.Second, 12*time.Second))
		g.add(decides, "trap %s mount op=list key=requests when=after n=%d d=%s", h.name, 1+g.IntN(3), g.lasts())
		g.add(at+g.lasts(), "power-on %s", other.name)
	}},
	{12, func(g *generator, at time.Duration, h spec) { g.driverFault(at, h) }},
	{3, func(g *generator, at time.Duration, h spec) {
		g.add(at, "corrupt %s/%s.json %s", pick(g, "members", "members", "inventory"), h.name, pick(g, "torn", "missing", "foreign"))
	}},
	{3, func(g *generator, at time.Duration, h spec) { // a dying host tears its last heartbeat
		g.add(at, "power-off %s", h.name)
		g.add(at, "corrupt members/%s.json %s", h.name, pick(g, "torn", "missing", "foreign"))
		g.add(at+g.lasts(), "power-on %s", h.name)
	}},
	{4, func(g *generator, at time.Duration, h spec) {
		g.add(at, "wall %s %s", h.name, g.between(-48*time.Hour, 48*time.Hour))
		if g.chance(0.5) { // and dies with snapshots of both times
			off := at + g.between(2*time.Second, 12*time.Second)
			g.add(off, "power-off %s", h.name)
			g.add(off+g.lasts(), "power-on %s", h.name)
		}
	}},
	{2, func(g *generator, at time.Duration, h spec) {
		if g.forgot || !g.candidateBut(h) {
			return
		}
		g.forgot = true
		g.add(at, "power-off %s", h.name)
		g.add(at, "lose-memory %s", h.name)
		g.add(at+g.lasts(), "power-on %s", h.name)
	}},
	{4, func(g *generator, at time.Duration, h spec) {
		g.add(at, "power-off %s", h.name)
		g.add(at, "rollback-memory %s %s", h.name, g.between(100*time.Millisecond, 20*time.Second))
		g.add(at+g.lasts(), "power-on %s", h.name)
	}},
	{6, func(g *generator, at time.Duration, h spec) {
		if len(h.vms) == 0 {
			return
		}
		vm, back := pick(g, h.vms...), ""
		if g.chance(0.7) {
			back = fmt.Sprintf(" back=%s", g.between(50*time.Millisecond, 12*time.Second))
		}
		g.add(at, "guest %s %s%s", h.name, vm, back)
		if g.chance(0.5) {
			g.add(at+g.between(0, 2*time.Second), "fault %s outage for=%s", h.name, g.lasts())
		}
	}},
	{3, func(g *generator, at time.Duration, h spec) { // another store in the place of theirs
		what := pick(g, storeEmptied, storeAnother, fmt.Sprintf("%s %s", storeBefore, g.between(time.Second, 15*time.Second)))
		g.add(at, "store %s", what)
		if g.chance(0.6) {
			g.add(at+g.between(0, 2*time.Second), "crash %s", h.name)
			g.add(at+2*time.Second+g.between(0, 2*time.Second), "start %s", h.name)
		}
		g.add(at+g.lasts(), "store %s", storeBack)
	}},
	{3, func(g *generator, at time.Duration, h spec) {
		g.add(at, "mount %s %s", h.name, pick(g, storeEmptied, storeAnother))
		if g.chance(0.5) {
			g.add(at+g.between(0, 2*time.Second), "crash %s", h.name)
			g.add(at+2*time.Second+g.between(0, 2*time.Second), "start %s", h.name)
		}
		g.add(at+g.lasts(), "mount %s %s", h.name, storeBack)
	}},
	{15, func(g *generator, at time.Duration, h spec) { g.request(at, h) }},
}

// candidateBut says whether somebody else may become master. Exclusion "the last
// candidate forgets": a cluster whose only candidate was reinstalled has nobody to
// execute the operator's word.
func (g *generator) candidateBut(h spec) bool {
	return slices.ContainsFunc(g.s.cluster, func(o spec) bool {
		return o.name != h.name && o.role != ledger.RoleWorker && o.mode == node.ModeAuto && o.promotion == node.PromotionAutomatic
	})
}

// step is a call at which a process is trapped.
func (g *generator) step() string {
	return pick(
		g, "op=create key=ledger", "op=create key=ledger", "op=put key=members", "op=put key=inventory", "op=get key=ledger",
		"op=start", "op=start", "op=prepare", "op=stop", "op=list",
	) + " when=" + pick(g, "before", "after")
}

// storeFault lets single calls of a host to the store go wrong.
func (g *generator) storeFault(at time.Duration, h spec) {
	writes := pick(g, "key=members", "key=ledger", "key=inventory", "key=requests", "key=")
	reads := pick(g, "key=members", "key=members", "key=ledger", "key=inventory", "key=requests", "key=cluster.json", "key=")
	p := pick(g, 1, 0.5, 0.2)
	what := pick(
		g, "lost op=write "+writes, "never op=write "+writes,
		fmt.Sprintf("late op=put d=%s", g.between(100*time.Millisecond, 15*time.Second)),
		fmt.Sprintf("late op=write d=%s %s", g.between(100*time.Millisecond, 15*time.Second), writes),
		fmt.Sprintf("slow d=%s", g.between(50*time.Millisecond, 3*time.Second)),
		fmt.Sprintf("slow op=put d=%s", g.between(50*time.Millisecond, 6*time.Second)),
		fmt.Sprintf("tardy op=put d=%s", g.between(50*time.Millisecond, 9*time.Second)),
		fmt.Sprintf("tardy op=write d=%s %s", g.between(50*time.Millisecond, 9*time.Second), writes),
		fmt.Sprintf("tardy op=get d=%s", g.between(50*time.Millisecond, 900*time.Millisecond)),
		"fail "+reads, "fail op=write "+writes,
		// An NFS client's cache; what is older than M is not promised to be harmless.
		fmt.Sprintf("stale op=read d=%s %s", g.between(50*time.Millisecond, 900*time.Millisecond), reads),
		"torn op=get "+reads, "missing op=read "+reads, "foreign op=get "+reads,
	)
	what = strings.TrimSuffix(what, " key=")
	lasts := g.lasts()
	if kind, _, _ := strings.Cut(what, " "); kind == faultTorn || kind == faultMissing || kind == faultForeign {
		lasts = g.misread(h.name, lasts)
	}
	g.add(at, "fault %s %s p=%g for=%s", h.name, what, p, lasts)
}

// edge cuts a host off until about the end of its lease, while what the others read
// comes slowly: there the rules of dating and judging are decided.
func (g *generator) edge(at time.Duration, h spec) {
	if h.self && g.chance(0.2) { // its VMs get no new deadline until about the end of theirs
		g.add(at, "fault %s deadline-fail for=%s", h.name, h.timings().Stopped()+g.between(-time.Second, 1500*time.Millisecond))
		return
	}
	d := h.timings().Renew
	g.add(at, "fault %s %s for=%s", h.name, pick(g, "hang op=write", "hang op=write", "hang op=write", "outage", "never op=write", "tardy op=put d=15s"), d+g.between(-1200*time.Millisecond, 500*time.Millisecond))
	for _, o := range g.s.cluster {
		if o.name != h.name && g.chance(0.7) {
			g.add(at-time.Second, "fault %s %s op=get key=members d=%s for=%s", o.name, pick(g, faultTardy, faultTardy, faultSlow),
				g.between(250*time.Millisecond, 500*time.Millisecond), 15*time.Second)
		}
	}
	if g.chance(0.3) {
		g.add(at+g.between(0, d), "fault %s late op=put key=members d=%s p=0.5 for=%s", h.name, g.between(time.Second, 10*time.Second), d)
	}
}

// forgetful lets a host die after it gave its word, perhaps forget it, and come back:
// its word may not have got out, or lies there for longer than it knows of it.
func (g *generator) forgetful(at time.Duration, h spec) {
	g.add(at, "set %s onstop=move", h.name)
	g.add(at, "stop %s", h.name)
	off := at + g.between(1500*time.Millisecond, 4*time.Second)
	if g.chance(0.5) {
		g.add(at, "fault %s fail op=write key=inventory for=%s", h.name, g.between(3*time.Second, 6*time.Second))
		g.add(off, "crash %s", h.name)
		g.add(off+g.between(time.Second, 5*time.Second), "start %s", h.name)
		return
	}
	g.add(off, "power-off %s", h.name)
	g.add(off, "rollback-memory %s %s", h.name, g.between(2*time.Second, 6*time.Second))
	g.add(off, "fault %s fail op=write key=inventory for=%s", h.name, g.between(10*time.Second, 40*time.Second))
	if g.chance(0.7) {
		for _, o := range g.s.cluster { // nobody hears of it before it dies
			g.add(at, "fault %s fail op=get key=inventory for=%s", o.name, off-at+2*time.Second)
		}
	}
	on := off + g.between(time.Second, 5*time.Second)
	g.add(on, "power-on %s", h.name)
	g.add(on+g.between(8*time.Second, 20*time.Second), pick(g, "stop %s", "stop %s", "power-off %s", "fault %s outage for=20s"), h.name)
}

// orphan lets a daemon die while a start that it began is still under way, and its
// host give up its VMs before that has come to its end.
func (g *generator) orphan(at time.Duration, h spec) {
	if len(h.vms) == 0 {
		return
	}
	g.add(at, "fault %s start-late d=%s for=3s", h.name, g.between(8*time.Second, 45*time.Second))
	g.add(at, "guest %s %s", h.name, pick(g, h.vms...))
	g.add(at+g.between(1200*time.Millisecond, 2800*time.Millisecond), "crash %s", h.name)
	g.add(at+3*time.Second, "start %s", h.name)
	g.add(at+g.between(7*time.Second, 14*time.Second), "set %s onstop=move", h.name)
	g.add(at+g.between(7*time.Second, 14*time.Second), pick(g, "stop %s", "stop %s", "fault %s outage for=20s"), h.name)
}

// misread bounds for how long in all one host is given wrong records. Exclusion
// "misread for T": bytes that stand still unread or stay away for T are silence to
// a claimant (design, section 3), so that one that misreads a living master's
// heartbeat for T claims over it, and both are master until the old one has read
// its next tail. No store that keeps its contract does that to one reader.
func (g *generator) misread(h string, lasts time.Duration) time.Duration {
	const most = 6 * time.Second
	if g.misreads == nil {
		g.misreads = map[string]time.Duration{}
	}
	lasts = min(lasts, most-g.misreads[h])
	g.misreads[h] += lasts
	return max(lasts, time.Millisecond)
}

func (g *generator) driverFault(at time.Duration, h spec) {
	if h.noDriver {
		return
	}
	what := pick(
		g, "start-fail", fmt.Sprintf("start-hang d=%s", g.between(time.Second, 8*time.Second)),
		fmt.Sprintf("start-late d=%s", g.between(time.Second, 25*time.Second)), fmt.Sprintf("start-late d=%s", g.between(time.Second, 25*time.Second)),
		"stop-fail", "stop-hang", "kill-fail", "list-fail", "list-unknown", "deadline-fail", "prepare-fail",
		"start-lie", "stop-lie", "kill-lie", "list-empty", "list-lie",
		fmt.Sprintf("stop-return d=%s", g.between(50*time.Millisecond, 8*time.Second)),
	)
	g.add(at, "fault %s %s p=%g for=%s", h.name, what, pick(g, 1, 0.5), g.lasts())
	// It takes something that begins for most of them to show.
	if g.chance(0.6) {
		other := g.host()
		g.add(at+g.between(0, time.Second), "power-off %s", other.name)
		g.add(at+time.Second+g.lasts(), "power-on %s", other.name)
	}
}

// request is what an operator asks at random.
func (g *generator) request(at time.Duration, h spec) {
	switch g.IntN(9) {
	case 0, 1:
		g.add(at, "ask freeze")
		g.add(at+g.lasts(), "ask arm")
	case 2, 3:
		g.add(at, "ask promote %s%s", h.name, pick(g, "", "", " force"))
	case 4:
		g.add(at, "ask demote %s", h.name)
	case 5:
		g.add(at, "ask priority %s %d", h.name, g.IntN(20))
	case 6:
		g.add(at, "ask freeze")
		g.add(at+g.between(time.Second, 4*time.Second), "ask timings %s 1s", pick(g, "10s", "12s", "20s"))
		g.add(at+g.between(3*time.Second, 8*time.Second), "ask arm")
	case 7:
		g.add(at, "ask confirm-fenced %s", h.name)
		g.add(at+g.lasts(), "power-on %s", h.name)
	case 8:
		g.add(at, "power-off %s", h.name)
		g.add(at+12*time.Second+g.lasts(), "ask forget %s", h.name)
		g.add(at+30*time.Second+g.lasts(), "power-on %s", h.name)
	}
}

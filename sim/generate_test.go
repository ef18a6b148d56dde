package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// generator makes a script from a seed.
type generator struct {
	*rand.Rand
	s     script
	vms   int
	began time.Duration // of what goes wrong
	ends  time.Duration
	// misreads is for how long each host is given wrong records.
	misreads map[string]time.Duration
	forgot   bool // a host loses its memory
}

// generate makes the schedule of a seed: the same one whenever it is asked.
func generate(seed uint64) script {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	g.cluster()
	g.began = 9 * time.Second
	g.ends = g.began + g.between(15*time.Second, 60*time.Second)
	for range 2 + g.IntN(7) {
		g.incident(g.began + g.between(0, g.ends-g.began))
	}
	g.ends += g.between(0, 15*time.Second)
	if g.chance(0.05) {
		g.move()
	}
	if g.chance(0.3) {
		for i := range g.s.cluster {
			g.s.cluster[i].dear = true
		}
	}
	slices.SortStableFunc(g.s.commands, func(a, b command) int { return cmp.Compare(a.at, b.at) })
	g.s.commands = slices.DeleteFunc(g.s.commands, func(c command) bool { return c.at >= g.ends })
	g.add(g.ends, "end")
	return g.s
}

// move brings the cluster to another store, amid all else that goes wrong, and the
// daemons after it one by one. No store is exchanged for another besides.
func (g *generator) move() {
	g.s.commands = slices.DeleteFunc(g.s.commands, func(c command) bool {
		return c.words[0] == "store" || c.words[0] == "mount" || slices.Contains(c.words, "mount")
	})
	at := g.between(g.began, g.began+20*time.Second)
	g.add(at, "ask freeze")
	at += g.between(0, 4*time.Second)
	g.add(at, "move")
	for _, h := range g.s.cluster {
		again := at + g.between(5*time.Second, 40*time.Second)
		g.add(again, pick(g, "stop %s", "crash %s"), h.name)
		g.add(again+g.between(0, 5*time.Second), "start %s", h.name)
	}
	g.add(at+g.between(10*time.Second, 50*time.Second), "ask arm")
	g.ends = max(g.ends, at+g.between(20*time.Second, 50*time.Second))
}

func (g *generator) between(a, b time.Duration) time.Duration {
	return (a + time.Duration(g.Int64N(int64(b-a)+1))).Truncate(time.Millisecond)
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

func (g *generator) add(at time.Duration, format string, args ...any) {
	g.s.commands = append(g.s.commands, command{at, strings.Fields(fmt.Sprintf(format, args...))})
}

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// host is one of the cluster's.
func (g *generator) host() spec { return pick(g, g.s.cluster...) }

// cluster makes 2 to 7 hosts, founds the cluster and arms it.
func (g *generator) cluster() {
	n := pick(g, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 5, 5, 6, 7)
	tight := g.chance(0.35)
	kind := pick(g, "self", "self", "none", "mixed")
	for i := range n {
		s, err := parseSpec(string(rune('a'+i)) + " " + g.role(i))
		if err != nil {
			panic(err)
		}
		s.rate = 1 + float64(g.IntN(21)-10)/1000
		s.tight = tight
		s.self = !s.noDriver && (kind == "self" || kind == "mixed" && g.chance(0.5))
		if !s.self && !s.noDriver && g.chance(0.6) {
			s.guard = pick(g, guardDevice, guardDevice, guardReboot, guardProcess, guardProcess, guardSoftware, guardLog)
		}
		s.onStop = pick(g, "freeze", "move", "move", "stop")
		if g.chance(0.2) {
			s.priority = g.IntN(10)
		}
		if i > 0 && g.chance(0.08) {
			s.mode = "hot-backup"
		}
		if i > 0 && g.chance(0.08) {
			s.promotion = "manual"
		}
		if !s.noDriver {
			for range pick(g, 0, 1, 1, 2) {
				g.vms++
				s.vms = append(s.vms, fmt.Sprintf("vm%d", g.vms))
			}
		}
		g.s.cluster = append(g.s.cluster, s)
	}
	if g.chance(0.25) {
		for i := range g.s.cluster {
			if s := &g.s.cluster[i]; !s.noDriver && g.chance(0.8) {
				s.services = []string{"svc"}
			}
		}
	}
	for i, s := range g.s.cluster {
		g.add(time.Duration(i)*g.between(0, 700*time.Millisecond), "start %s", s.name)
	}
	for v := range g.vms {
		g.add(3*time.Second, "replicate vm%d %s %g %s", v+1, g.between(time.Second, 4*time.Second), pick(g, 1, 1, 0.7, 0.4),
			pick(g, 0, 0, g.between(100*time.Millisecond, 6*time.Second)))
	}
	g.add(g.between(6*time.Second, 8*time.Second), "ask arm")
}

func (g *generator) role(i int) string {
	switch {
	case i == 0:
		return ledger.RoleCandidate
	case g.chance(0.12):
		return ledger.RoleWorker
	case i > 1 && g.chance(0.2):
		return ledger.RoleWitness
	}
	return ledger.RoleCandidate
}

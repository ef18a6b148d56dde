package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// script is a cluster and what happens to it. As text it is the files "cluster"
// and "commands" of a scenario.
type script struct {
	cluster  []spec
	commands []command
}

// command is one line of what happens: when, and what.
type command struct {
	at    time.Duration
	words []string
}

func (c command) String() string { return c.at.String() + " " + strings.Join(c.words, " ") }

// spec is one host of the cluster, as the file "cluster" describes it.
type spec struct {
	name, role      string
	priority        int
	self            bool    // its VMs stop themselves
	tight           bool    // the cluster's timings leave no slack, see timings
	debug           bool    // the cluster's debug mode
	dear            bool    // its store says that listings are dear
	guard           string  // its watchdog, see kennel_test.go; "" is none
	rate            float64 // of its clock
	vms, services   []string
	noDriver        bool
	mode, promotion string
	onStop, version string
	grace           time.Duration
	expect          int
}

func (s script) String() string {
	var b strings.Builder
	b.WriteString("-- cluster --\n")
	for _, h := range s.cluster {
		fmt.Fprintln(&b, h)
	}
	b.WriteString("-- commands --\n")
	for _, c := range s.commands {
		fmt.Fprintln(&b, c)
	}
	return b.String()
}

func (s spec) String() string {
	words := []string{s.name, s.role}
	add := func(said bool, word string, args ...any) {
		if said {
			words = append(words, fmt.Sprintf(word, args...))
		}
	}
	add(s.priority != 0, "priority=%d", s.priority)
	add(s.self, "self")
	add(s.tight, "tight")
	add(s.debug, "debug")
	add(s.dear, "dear")
	add(s.guard != "", "guard=%s", s.guard)
	add(s.rate != 1, "rate=%g", s.rate)
	add(len(s.vms) > 0, "vms=%s", strings.Join(s.vms, ","))
	add(len(s.services) > 0, "services=%s", strings.Join(s.services, ","))
	add(s.mode != node.ModeAuto, "mode=%s", s.mode)
	add(s.promotion != node.PromotionAutomatic, "promotion=%s", s.promotion)
	add(s.onStop != record.LeaveFreeze, "onstop=%s", s.onStop)
	add(s.version != "1.0", "version=%s", s.version)
	add(s.grace != defaultGrace, "grace=%s", s.grace)
	add(s.expect != 0, "expect=%d", s.expect)
	return strings.Join(words, " ")
}

// defaultGrace is the start-up grace where a script names none.
const defaultGrace = 20 * time.Second

// parseSpec reads one line of the file "cluster".
func parseSpec(line string) (spec, error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return spec{}, fmt.Errorf("cluster: %q: a name and a role are needed", line)
	}
	s := spec{
		name: words[0], role: words[1], rate: 1, mode: node.ModeAuto, promotion: node.PromotionAutomatic,
		onStop: record.LeaveFreeze, version: "1.0", grace: defaultGrace,
	}
	s.noDriver = s.role == ledger.RoleWitness
	for _, word := range words[2:] {
		if err := s.set(word); err != nil {
			return s, fmt.Errorf("cluster: %q: %w", line, err)
		}
	}
	return s, nil
}

// set changes one property, "key=value".
func (s *spec) set(word string) error {
	key, value, _ := strings.Cut(word, "=")
	var err error
	switch key {
	case "priority":
		s.priority, err = strconv.Atoi(value)
	case "expect":
		s.expect, err = strconv.Atoi(value)
	case "self":
		s.self = true
	case "tight":
		s.tight = true
	case "debug":
		s.debug = true
	case "dear":
		s.dear = true
	case "guard":
		s.guard, err = value, checkGuard(value)
	case "rate":
		s.rate, err = strconv.ParseFloat(value, 64)
	case "vms":
		s.vms = strings.Split(value, ",")
	case "services":
		s.services = strings.Split(value, ",")
	case "mode":
		s.mode = value
	case "promotion":
		s.promotion = value
	case "onstop":
		s.onStop = value
	case "version":
		s.version = value
	case "grace":
		s.grace, err = time.ParseDuration(value)
	default:
		return fmt.Errorf("unknown property %q", key)
	}
	return err
}

func parseCommand(line string) (command, error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return command{}, fmt.Errorf("command %q: a time and a word are needed", line)
	}
	at, err := time.ParseDuration(words[0])
	if err != nil {
		return command{}, fmt.Errorf("command %q: %w", line, err)
	}
	return command{at, words[1:]}, nil
}

// lines are those of a file that say something.
func lines(data []byte) []string {
	var all []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all
}

// play lets a script happen. It ends early when a rule is broken.
func (w *world) play(s script, tick time.Duration) error {
	for _, h := range s.cluster {
		w.addHost(h)
	}
	commands := slices.Clone(s.commands)
	slices.SortStableFunc(commands, func(a, b command) int { return cmp.Compare(a.at, b.at) })
	for _, c := range commands {
		if !w.pass(c.at-w.now(), tick) {
			return nil
		}
		w.tell("> %s", strings.Join(c.words, " "))
		if err := w.do(c.words); err != nil {
			return fmt.Errorf("command %q: %w", c, err)
		}
		w.settle()
	}
	return nil
}

// pass lets time go on, and says whether all rules were kept.
func (w *world) pass(d, tick time.Duration) bool {
	for end := w.now() + d; w.now() < end && !w.broken(); {
		// On whole ticks, so that what is seen does not depend on the commands.
		next := tick - w.now()%tick
		<-time.After(min(next, end-w.now()))
		w.settle()
	}
	return !w.broken()
}

func (w *world) settle() {
	synctest.Wait()
	w.settled()
}

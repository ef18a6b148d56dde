package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// do is one command:
//
//	start H | stop H | crash H | power-off H | power-on H
//	set H key=value                 for its next start, as in the file "cluster"
//	pause H [d] | resume H          nothing of the daemon runs; its clock goes on
//	stall H | unstall H             a paused guest: its clocks stand still too
//	dog H kill | dog H stop d       its watchdog process
//	trap H crash|pause|mount [op=] [key=] [when=before|after] [n=] [d=]   at its nth call
//	wall H d                        its wall clock jumps
//	lose-memory H                   while its daemon does not run
//	rollback-memory H d             to what it was d ago, while its power is off
//	guest H VM [back=]              the VM ends by itself; back: its supervisor brings it back
//	store emptied|another|rolled-back [d]|back     what all hosts see in the store's place
//	mount H emptied|another|back    the same for one host
//	repair                          hoster-ha ledger repair, while no daemon runs
//	move                            hoster-ha store copy: to another store, for daemons started from then on
//	fault H|all kind [op=] [key=] [p=] [d=] [for=]      see fault_test.go and driver_test.go
//	heal H|all [kind]
//	corrupt key torn|missing|foreign    in the store, until it is written again
//	replicate VM every [p [lag]]    snapshots, each sent to each other host with chance p
//	ask ...                         what an operator asks, see operator_test.go
//	end                             all is healed; see end_test.go
//	done                            the script ends here
func (w *world) do(words []string) error {
	verb, args := words[0], words[1:]
	switch verb {
	case "end":
		w.finish()
		return nil
	case "done":
		return nil
	case "repair":
		return w.repair()
	case "move":
		return w.move()
	}
	if len(args) == 0 {
		return errors.New("what of?")
	}
	if f, ok := worldVerbs[verb]; ok {
		return f(w, args)
	}
	f, ok := hostVerbs[verb]
	if !ok {
		return errors.New("unknown command")
	}
	h := w.hosts[args[0]]
	if h == nil {
		return fmt.Errorf("unknown host %q", args[0])
	}
	return f(h, args[1:])
}

var worldVerbs map[string]func(w *world, args []string) error

var hostVerbs map[string]func(h *host, args []string) error

func init() {
	worldVerbs = map[string]func(w *world, args []string) error{
		"fault": doFault, "heal": doHeal, "corrupt": doCorrupt, "replicate": doReplicate,
		"store": doStore,
		"ask":   func(w *world, args []string) error { return w.ask(args) },
	}
	hostVerbs = map[string]func(h *host, args []string) error{
		"start":     func(h *host, _ []string) error { return h.start() },
		"stop":      func(h *host, _ []string) error { h.stop(); return nil },
		"crash":     doCrash,
		"power-off": func(h *host, _ []string) error { h.powerOff(); return nil },
		"power-on":  func(h *host, _ []string) error { h.powerOn(); return h.start() },
		"set": func(h *host, args []string) error {
			for _, a := range args {
				if err := h.spec.set(a); err != nil {
					return err
				}
			}
			return nil
		},
		"pause": doPause, "resume": func(h *host, _ []string) error { h.resume(); return nil },
		"stall": doStall, "unstall": func(h *host, _ []string) error { h.resume(); return nil },
		"trap": doTrap, "wall": doWall,
		"lose-memory":     func(h *host, _ []string) error { h.loseMemory(); return nil },
		"rollback-memory": doRollbackMemory,
		"guest":           doGuest,
		"mount":           doMount,
		"dog":             doDog,
	}
}

func doCrash(h *host, _ []string) error {
	h.w.mu.Lock()
	h.wanted = false
	h.w.mu.Unlock()
	if p := h.live(); p != nil {
		p.kill()
	}
	return nil
}

func doPause(h *host, args []string) error {
	p := h.live()
	if p == nil {
		return nil
	}
	p.pause()
	if len(args) > 0 {
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		time.AfterFunc(d, p.resume)
	}
	return nil
}

// doStall is only for hosts whose silence proves nothing: what rests on time is
// not promised of them.
func doStall(h *host, _ []string) error {
	if h.spec.proves() {
		return errors.New("a guest that can be paused proves nothing")
	}
	h.clock.stop()
	h.w.mu.Lock()
	h.tainted = true
	h.w.mu.Unlock()
	return doPause(h, nil)
}

// resume ends a pause or a stall.
func (h *host) resume() {
	h.clock.run()
	if p := h.live(); p != nil {
		p.resume()
	}
}

func doWall(h *host, args []string) error {
	d, err := time.ParseDuration(args[0])
	h.wall.Store(int64(d))
	return err
}

// options reads words of the form key=value.
func options(args []string, set map[string]func(string) error) error {
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		f := set[key]
		if !ok || f == nil {
			return fmt.Errorf("%q is not understood", a)
		}
		if err := f(value); err != nil {
			return fmt.Errorf("%q: %w", a, err)
		}
	}
	return nil
}

func text(to *string) func(string) error {
	return func(s string) error { *to = s; return nil }
}

func duration(to *time.Duration) func(string) (err error) {
	return func(s string) (err error) { *to, err = time.ParseDuration(s); return err }
}

func doTrap(h *host, args []string) error {
	t := &trap{what: args[0], when: "after", n: 1}
	err := options(args[1:], map[string]func(string) error{
		"op": text(&t.op), "key": text(&t.key), "when": text(&t.when), "d": duration(&t.duration),
		"n": func(s string) (err error) { t.n, err = strconv.Atoi(s); return err },
	})
	if p := h.live(); p != nil {
		p.mu.Lock()
		p.traps = append(p.traps, t)
		p.mu.Unlock()
	}
	return err
}

func doFault(w *world, args []string) error {
	if len(args) < 2 {
		return errors.New("which fault?")
	}
	f, lasts := &fault{kind: args[1], p: 1}, time.Duration(0)
	err := options(args[2:], map[string]func(string) error{
		"op": text(&f.op), "key": text(&f.key), "d": duration(&f.d), "for": duration(&lasts),
		"p": func(s string) (err error) { f.p, err = strconv.ParseFloat(s, 64); return err },
	})
	if err != nil {
		return err
	}
	host := strings.TrimPrefix(args[0], "all")
	if host != "" && w.hosts[host] == nil {
		return fmt.Errorf("unknown host %q", host)
	}
	w.inflict(host, f)
	if lasts > 0 {
		time.AfterFunc(lasts, func() { w.lift(f) })
	}
	return nil
}

func doHeal(w *world, args []string) error {
	kind := ""
	if len(args) > 1 {
		kind = args[1]
	}
	w.heal(strings.TrimPrefix(args[0], "all"), kind)
	return nil
}

func doReplicate(w *world, args []string) error {
	every, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	p := 1.0
	if len(args) > 2 {
		if p, err = strconv.ParseFloat(args[2], 64); err != nil {
			return err
		}
	}
	lag := time.Duration(0)
	if len(args) > 3 {
		if lag, err = time.ParseDuration(args[3]); err != nil {
			return err
		}
	}
	w.replicate(args[0], every, p, lag)
	return nil
}

func doCorrupt(w *world, args []string) error {
	key, how := args[0], args[1]
	if !strings.HasPrefix(key, "members/") && !strings.HasPrefix(key, "inventory/") {
		return errors.New("only records that are written again may be corrupted in the store")
	}
	value := w.store.read(key)
	if value == nil {
		return nil
	}
	name := strings.TrimSuffix(key[strings.Index(key, "/")+1:], ".json")
	w.mu.Lock()
	if h := w.hosts[name]; h != nil {
		h.troubled = w.now()
	}
	w.mu.Unlock()
	switch how {
	case "torn":
		return w.store.write("put", key, torn(value), "the world")
	case "missing":
		return w.store.write("delete", key, nil, "the world")
	case "foreign":
		return w.store.write("put", key, foreign(key), "the world")
	}
	return fmt.Errorf("%q is not understood", how)
}

// doGuest lets a VM end by itself, as guests do.
func doGuest(h *host, args []string) error {
	var back time.Duration
	if err := options(args[1:], map[string]func(string) error{"back": duration(&back)}); err != nil {
		return err
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if v := h.vms[args[0]]; v == nil || !v.running {
		return nil
	}
	h.down(args[0], "by itself")
	if back > 0 {
		h.supervise(args[0], back)
	}
	return nil
}

package watchdog

import (
	"os"
	"time"
)

// State is what is so now.
type State struct {
	Armed    bool          `json:"armed"`
	Passed   bool          `json:"passed"`
	Deadline time.Duration `json:"deadline,omitempty"` // boot-time clock
	By       string        `json:"by,omitempty"`       // incarnation that handed it
	Action   string        `json:"action"`
	Device   *Info         `json:"device,omitempty"` // nil: none is open
	PetFails int           `json:"pet_fails,omitempty"`
	Ticked   time.Duration `json:"ticked"` // when the loop turned last

	// Of the process that guards. Whoever finds another PID than before speaks to one
	// that knows nothing of the deadlines it has handed.
	Version string `json:"version,omitempty"`
	PID     int    `json:"pid"`
	// Replaced is how often its program was replaced; the deadlines stayed.
	Replaced int `json:"replaced,omitempty"`
	// Able says why it could not end the host, Realtime and Memory what became of its
	// protection: "" each is well.
	Able     string `json:"able,omitempty"`
	Realtime string `json:"realtime,omitempty"`
	Memory   string `json:"memory,omitempty"`
}

// State tells what is so now.
func (g *Guard) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.deadline.Load()
	s := State{
		Armed: d > 0, Passed: d == passed, Action: g.opts.Action, By: g.by,
		PetFails: int(g.petFails.Load()), Ticked: time.Duration(g.last.Load()),
		Version: g.opts.Version, PID: os.Getpid(), Replaced: g.replaced, Able: g.opts.Able,
	}
	if d > 0 {
		s.Deadline = time.Duration(d)
	}
	if p := g.device.Load(); p != nil {
		info := p.info
		s.Device = &info
	}
	if r := g.report.Load(); r != nil {
		s.Realtime, s.Memory = r.Realtime, r.Memory
	}
	return s
}

package watchdog

import (
	"strings"
	"testing"
	"time"
)

// Each condition of the proof, broken one at a time.
func TestUnproved(t *testing.T) {
	const w, now = 5 * time.Second, time.Hour
	good := func() (State, Host) {
		return State{
			Armed: true, Deadline: now + time.Second, Action: ActionReboot, Ticked: now - tick,
			Device: &Info{Path: "/dev/watchdog0", Identity: "i6300ESB timer", Timeout: w},
		}, Host{}
	}
	if s, h := good(); Unproved(s, h, w, now) != "" {
		t.Errorf("nothing is wrong: %s", Unproved(s, h, w, now))
	}
	for text, change := range map[string]func(s *State, h *Host){
		"no watchdog device":         func(s *State, _ *Host) { s.Device = nil },
		"is software":                func(s *State, _ *Host) { s.Device.Software = true },
		"stops when":                 func(s *State, _ *Host) { s.Device.CloseStops = true },
		"waits for 6s":               func(s *State, _ *Host) { s.Device.Timeout = 6 * time.Second },
		"waits for 0s":               func(s *State, _ *Host) { s.Device.Timeout = 0 },
		"did not take the last pets": func(s *State, _ *Host) { s.PetFails = 1 },
		"the fence action is log":    func(s *State, _ *Host) { s.Action = ActionLog },
		"it is not armed":            func(s *State, _ *Host) { s.Armed, s.Deadline = false, 0 },
		"not armed":                  func(s *State, _ *Host) { s.Deadline = now },
		"is not armed":               func(s *State, _ *Host) { s.Passed = true },
		"its loop has not turned":    func(s *State, _ *Host) { s.Ticked = now - 2*time.Second },
		"is a guest":                 func(_ *State, h *Host) { h.Guest = "KVM" },
		"can be suspended":           func(_ *State, h *Host) { h.Suspends = "mem" },
	} {
		s, h := good()
		change(&s, &h)
		if why := Unproved(s, h, w, now); !strings.Contains(why, text) {
			t.Errorf("%q, want %q", why, text)
		}
	}
}

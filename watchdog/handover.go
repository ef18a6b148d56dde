package watchdog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// handoverEnv carries what a watchdog leaves to the program that takes its place in the
// same process: its descriptors stay open.
const handoverEnv = "HOSTER_HA_WATCHDOG_HANDOVER"

// handover is what is left. What the next program can read back from the kernel it does;
// none of this proves anything.
type handover struct {
	PID      int           `json:"pid"`      // of this process: the word is for no other
	Deadline int64         `json:"deadline"` // unarmed, passed, or of the boot-time clock
	By       string        `json:"by,omitempty"`
	Handed   time.Duration `json:"handed,omitempty"` // when the last one was
	Last     time.Duration `json:"last,omitempty"`   // the last one
	Replaced int           `json:"replaced,omitempty"`
	// Action is what was promised for the deadline. The next program may find another one
	// in its settings; "" is of one that did not say.
	Action string `json:"action,omitempty"`

	Listener int       `json:"listener"`
	Lock     int       `json:"lock"`
	Device   *heldOver `json:"device,omitempty"`
}

// heldOver is an open device.
type heldOver struct {
	FD     int    `json:"fd"`
	Info   Info   `json:"info"`
	Always bool   `json:"always,omitempty"` // it is petted without a deadline too
	Wrong  string `json:"wrong,omitempty"`  // why it will not do
}

// inherited is what the program before has left in this process, nil if there was none.
// One that cannot be read is an error: nobody knows which deadline was in force. Its
// device counts on then, and nobody pets it.
func inherited() (*handover, error) {
	text, ok := os.LookupEnv(handoverEnv)
	if !ok {
		return nil, nil
	}
	if err := os.Unsetenv(handoverEnv); err != nil {
		return nil, err
	}
	h, err := decodeHandover([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("what the watchdog before has left: %w", err)
	}
	if h.PID != os.Getpid() {
		return nil, nil // it came by way of another process
	}
	for _, fd := range h.descriptors() {
		if err := inheritable(fd, false); err != nil {
			return nil, fmt.Errorf("what the watchdog before has left: descriptor %d: %w", fd, err)
		}
	}
	return h, nil
}

func decodeHandover(data []byte) (*handover, error) {
	var h handover
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, err
	}
	if h.Deadline < passed || h.Handed < 0 || h.Last < 0 || h.Replaced < 0 || (h.Deadline > 0 && time.Duration(h.Deadline) != h.Last) {
		return nil, errors.New("its times contradict each other")
	}
	if h.Action != "" && h.Action != ActionReboot && h.Action != ActionLog {
		return nil, fmt.Errorf("the action %q is not known", h.Action)
	}
	seen := map[int]bool{0: true, 1: true, 2: true}
	for _, fd := range h.descriptors() {
		if fd < 0 || seen[fd] {
			return nil, fmt.Errorf("%d is no descriptor of it", fd)
		}
		seen[fd] = true
	}
	return &h, nil
}

func (h *handover) descriptors() []int {
	all := []int{h.Listener, h.Lock}
	if h.Device != nil {
		all = append(all, h.Device.FD)
	}
	return all
}

// inheritable says whether the next program has a descriptor too.
func inheritable(fd int, yes bool) error {
	flags := unix.FD_CLOEXEC
	if yes {
		flags = 0
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags)
	return err
}

// leaves is what this guard leaves to the next program; mu is held.
func (g *Guard) leaves(here *place) (*handover, error) {
	h := &handover{PID: os.Getpid(), Deadline: g.deadline.Load(), By: g.by, Replaced: g.replaced, Action: g.opts.Action, Lock: here.lock}
	if last := g.handed.Load(); last != nil {
		h.Handed, h.Last = last.at, last.deadline
	}
	raw, err := here.l.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { h.Listener = int(fd) })
	}
	if err != nil {
		return nil, err
	}
	if p := g.device.Load(); p != nil {
		h.Device = &heldOver{FD: p.FD(), Info: p.Info(), Always: p.always.Load()}
		if p.wrong != nil {
			h.Device.Wrong = p.wrong.Error()
		}
	}
	return h, nil
}

// resume goes on where the program before has left off, before any loop turns. The
// deadline first: whatever else fails, it is guarded.
func (g *Guard) resume(h *handover) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.by, g.replaced = h.By, h.Replaced+1
	if h.Action != "" {
		g.opts.Action = h.Action
	}
	if h.Last > 0 {
		g.handed.Store(&handing{by: h.By, at: h.Handed, deadline: h.Last})
	}
	g.deadline.Store(h.Deadline)
	if h.Device == nil || g.opts.Resume == nil {
		return // an open device that nobody can pet counts on
	}
	d := g.opts.Resume(h.Device.FD, h.Device.Info)
	if d == nil {
		return
	}
	p := &petted{Device: d, info: d.Info()}
	p.always.Store(h.Device.Always)
	if h.Device.Wrong != "" {
		p.wrong = fmt.Errorf("%w: %s", ErrDevice, h.Device.Wrong)
	}
	g.device.Store(p)
}

// place is what the program before had, or else it is taken anew.
func (h *handover) place(ctx context.Context, path string) (*place, error) {
	f := os.NewFile(uintptr(h.Listener), path)
	l, err := net.FileListener(f) // which has a descriptor of its own
	_ = f.Close()
	if err == nil {
		if err = h.fits(path, l); err == nil {
			u := l.(*net.UnixListener)
			u.SetUnlinkOnClose(true)
			return &place{l: u, lock: h.Lock}, nil
		}
		_ = l.Close()
	}
	_ = unix.Close(h.Lock)
	here, cerr := claim(ctx, path)
	if cerr != nil {
		return nil, fmt.Errorf("%w; what the watchdog before has left: %w", cerr, err)
	}
	return here, nil
}

// fits says whether what was left is the place: without its very lock this program would
// not be the only one that has it.
func (h *handover) fits(path string, l net.Listener) error {
	if _, ok := l.(*net.UnixListener); !ok || l.Addr().String() != path {
		return fmt.Errorf("it listened at %s", l.Addr())
	}
	var held, there unix.Stat_t
	if err := unix.Fstat(h.Lock, &held); err != nil {
		return err
	}
	if err := unix.Stat(path+".lock", &there); err != nil {
		return fmt.Errorf("%s.lock: %w", path, err)
	}
	if held.Dev != there.Dev || held.Ino != there.Ino {
		return fmt.Errorf("%s.lock is another file than before", path)
	}
	return unix.Flock(h.Lock, unix.LOCK_EX|unix.LOCK_NB)
}

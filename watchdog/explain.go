package watchdog

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/rs/zerolog"
)

// Explain is where a reset is explained before it comes.
type Explain struct {
	// Path of the file that the next start of the daemon finds; "": there is none. Boot is
	// the id of this boot, without which no file could be told from an older one's.
	Path, Boot string
	// Console is the kernel's; nil: there is none. It must not block.
	Console io.Writer
	Log     zerolog.Logger
	Wall    func() time.Time // nil: time.Now
}

// handing is the deadline that was handed last.
type handing struct {
	by           string
	at, deadline time.Duration
}

// explainEach is how often it is looked whether there is something to explain.
const explainEach = 100 * time.Millisecond

// explainer tells of a reset that comes closer: a goroutine of its own, which may block
// on a disk or a log as long as it likes. The loop knows nothing of it.
type explainer struct {
	Explain
	g    *Guard
	told *Fence // that stands in the file
}

func newExplainer(g *Guard) *explainer {
	e := &explainer{Explain: g.opts.Explain, g: g}
	if e.Wall == nil {
		e.Wall = time.Now
	}
	if e.Boot == "" {
		e.Path = ""
	}
	if e.Path != "" {
		// One that a watchdog of this boot has left, which then ended, is still to be taken
		// back; an older one is the daemon's to read.
		if f, err := ReadFence(e.Path); err == nil && f.Boot == e.Boot && !f.Passed {
			e.told = f
		}
	}
	return e
}

func (e *explainer) run(over <-chan struct{}) {
	tick := time.NewTicker(explainEach)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.turn()
		case <-over:
			e.turn() // what was lifted at the end is taken back
			return
		}
	}
}

// turn looks once.
func (e *explainer) turn() {
	h, now, d := e.g.handed.Load(), e.g.opts.Now(), e.g.deadline.Load()
	if h == nil {
		return
	}
	said := e.told != nil && e.told.Deadline == h.deadline
	switch {
	case d == passed:
		if !said || (e.g.opts.Action == ActionLog && !e.told.Passed) {
			e.tell(h, now, true)
		}
	case d == int64(h.deadline) && nearly(h, now):
		if !said {
			e.tell(h, now, false)
		}
	case e.told != nil:
		e.takeBack(now)
	}
}

// nearly says whether so little time is left that the renewals fail: they come many times
// within what they hand.
func nearly(h *handing, now time.Duration) bool { return 3*(h.deadline-now) < h.deadline-h.at }

// tell says it where it takes least first: a disk may be what all this is about.
func (e *explainer) tell(h *handing, now time.Duration, passed bool) {
	wall := e.Wall()
	f := &Fence{
		Boot: e.Boot, Time: wall, Written: now, Handed: h.at, Deadline: h.deadline,
		By: h.by, Action: e.g.opts.Action, Passed: passed && e.g.opts.Action == ActionLog,
	}
	if p := e.g.device.Load(); p != nil {
		f.Device = fmt.Sprintf("%s (%s), %s after the last pet", p.info.Path, p.info.Identity, p.info.Timeout)
	}
	left := h.deadline - now
	f.Text = fmt.Sprintf("no renewal was handed for %s by incarnation %s: ", (now - h.at).Round(time.Millisecond), printable(h.by))
	at := wall.Add(left).Format(time.RFC3339)
	switch {
	case f.Passed:
		f.Text += fmt.Sprintf("this host would have been reset at %s; nothing was done, the fence action is log", at)
	case f.Action == ActionLog:
		f.Text += fmt.Sprintf("this host would be reset at %s, in %s; nothing will be done, the fence action is log", at, left.Round(time.Millisecond))
	case passed:
		f.Text += "this host is reset now"
	default:
		f.Text += fmt.Sprintf("this host is reset at %s, in %s, unless one comes", at, left.Round(time.Millisecond))
	}
	e.told = f
	if e.Console != nil {
		fmt.Fprint(e.Console, consoleLine(f.Text))
	}
	e.Log.Error().Str("by", h.by).Dur("left", left).Str("action", f.Action).Msg(f.Text)
	if e.Path == "" {
		return
	}
	if err := f.write(e.Path); err != nil {
		e.Log.Error().Err(err).Msg("what comes cannot be left for the next start to read")
	}
}

// takeBack is for a deadline that was extended or lifted after all. What has passed under
// ActionLog stays to be read.
func (e *explainer) takeBack(now time.Duration) {
	f := e.told
	e.told = nil
	if f.Passed {
		return
	}
	e.Log.Warn().Dur("left", f.Deadline-now).Msg("the deadline was extended or lifted after all: no reset comes of it")
	if e.Path == "" {
		return
	}
	if err := removeFence(e.Path); err != nil {
		e.Log.Error().Err(err).Msg("what did not come cannot be taken back")
	}
}

// printable is a text for one line of a console.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// consoleLine fits a text into one message of the kernel's log.
func consoleLine(text string) string {
	const most = 900
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return consolePrefix + "hoster-ha watchdog: " + text + "\n"
}

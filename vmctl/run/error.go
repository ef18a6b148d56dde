package run

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

const (
	maxLine = 256 // bytes of standard error in an Error
	maxArgs = 256 // bytes of the arguments in its text
)

// Error is a command that did not exit with 0 by itself.
type Error struct {
	Args   []string
	Exit   int            // exit code; -1 when it has none
	Signal syscall.Signal // that ended it; 0 is none
	Stderr string         // first line of its standard error that says something
	// TimedOut: its time, or the context's, was over and it was ended.
	TimedOut bool
	// NotStarted: it has certainly not run at all.
	NotStarted bool
	// Ended is closed once the command has ended at last; nil when it had ended
	// before Run returned.
	Ended <-chan struct{}
	// Err is why it did not start or was ended; nil when it ended by itself.
	Err error
}

// BySelf says whether the command ran and ended by itself: with an exit code,
// and not one by which a shell tells that a signal ended what it ran.
func (e *Error) BySelf() bool {
	return !e.NotStarted && e.Err == nil && e.Signal == 0 && e.Exit >= 0 && (e.Exit <= 128 || e.Exit > 192)
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(argsText(e.Args))
	switch {
	case e.NotStarted:
		fmt.Fprintf(&b, ": not started: %v", e.Err)
	case e.TimedOut:
		b.WriteString(": ended at its deadline")
	case e.Err != nil:
		fmt.Fprintf(&b, ": ended: %v", e.Err)
	case e.Signal != 0:
		fmt.Fprintf(&b, ": ended by signal %d (%v)", int(e.Signal), e.Signal)
	default:
		fmt.Fprintf(&b, ": exit %d", e.Exit)
	}
	if e.Ended != nil {
		b.WriteString(" and would not end")
	}
	if e.Stderr != "" {
		b.WriteString(": " + e.Stderr)
	}
	return b.String()
}

// argsText writes the arguments so that they can be told apart.
func argsText(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == utf8.RuneError
		}) {
			words[i] = strconv.Quote(a)
		}
	}
	return cut(strings.Join(words, " "), maxArgs)
}

// firstLine is the first line that is not blank, printable and bounded.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		return cut(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return '?'
			}
			return r
		}, cut(line, maxLine)), maxLine)
	}
	return ""
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}

package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
)

// screen is where the demonstration tells what happens: lines, and on a terminal
// a table below them that is drawn anew.
type screen struct {
	w     io.Writer
	live  bool // a terminal
	began time.Time
	table string // drawn last
	err   error  // the first failure to write
}

func newScreen(w io.Writer) *screen {
	file, ok := w.(*os.File)
	return &screen{
		w: w, began: time.Now(),
		live: ok && isatty.IsTerminal(file.Fd()) && os.Getenv("TERM") != "dumb",
	}
}

// line tells what happens now.
func (s *screen) line(format string, args ...any) {
	s.text("%5.1fs  %s", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// head begins a part of the output.
func (s *screen) head(text string) { s.text("\n%s", text) }

// text prints a line above the table.
func (s *screen) text(format string, args ...any) {
	s.put(s.erase() + fmt.Sprintf(format, args...) + "\n" + s.table)
}

// draw replaces the table; where nothing can be drawn anew, nothing is.
func (s *screen) draw(table string) {
	if !s.live || table == s.table {
		return
	}
	erase := s.erase()
	s.table = table
	s.put(erase + table)
}

// leave lets the table drawn last stand among the lines.
func (s *screen) leave() { s.table = "" }

// erase goes back to where the table begins, and clears what is there.
func (s *screen) erase() string {
	if s.table == "" {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\x1b[J", strings.Count(s.table, "\n"))
}

func (s *screen) put(text string) {
	if _, err := io.WriteString(s.w, text); err != nil && s.err == nil {
		s.err = fmt.Errorf("output: %w", err)
	}
}

// cut shortens a text to what fits into a line.
func cut(text string, width int) string {
	r := []rune(text)
	if len(r) <= width {
		return text
	}
	return string(r[:width-1]) + "…"
}

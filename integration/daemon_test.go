package integration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// daemon is one node's daemon over its lives; its state-dir stays.
type daemon struct {
	tb     testing.TB
	name   string
	exe    string   // "": binary
	env    []string // besides
	args   []string
	log    string
	client *http.Client

	proc   *process
	from   int64                  // where in the log its present life begins
	frozen bool                   // by SIGSTOP
	at     atomic.Pointer[string] // its address, "" before it is known
}

// start launches the daemon and waits until it says where it listens.
func (d *daemon) start() {
	d.tb.Helper()
	d.launch()
	d.listens()
}

func (d *daemon) launch() {
	d.tb.Helper()
	f, err := os.OpenFile(d.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		d.tb.Fatal(err)
	}
	defer f.Close()
	if d.from, err = f.Seek(0, io.SeekEnd); err != nil {
		d.tb.Fatal(err)
	}
	d.frozen = false
	d.proc = launchAs(d.tb, cmp.Or(d.exe, binary), d.env, f, d.args...)
}

func (d *daemon) listens() {
	d.tb.Helper()
	known := poll(patience, 10*time.Millisecond, func() bool {
		for _, l := range d.lines(d.from) {
			if l.Listen != "" {
				at := "http://" + l.Listen
				d.at.Store(&at)
				return true
			}
		}
		return d.proc.ended()
	})
	if !known || d.proc.ended() {
		d.tb.Fatalf("%s did not start: %v", d.name, d.proc.err)
	}
}

// alive: it runs and is not frozen.
func (d *daemon) alive() bool { return d.proc != nil && !d.proc.ended() && !d.frozen }

func (d *daemon) kill() { d.proc.kill() }

// terminate asks it to end, and waits.
func (d *daemon) terminate() {
	d.tb.Helper()
	d.proc.signal(d.tb, syscall.SIGTERM)
	d.gone()
}

// gone waits for the end of a daemon that was asked to.
func (d *daemon) gone() {
	d.tb.Helper()
	if !poll(2*patience, 10*time.Millisecond, d.proc.ended) {
		d.tb.Fatalf("%s does not end", d.name)
	}
	if d.proc.err != nil {
		d.tb.Errorf("%s ended with %v after a TERM", d.name, d.proc.err)
	}
}

// freeze stops it, and waits until the kernel says that it stands still.
func (d *daemon) freeze() {
	d.tb.Helper()
	d.frozen = true
	d.proc.signal(d.tb, syscall.SIGSTOP)
	poll(time.Second, time.Millisecond, func() bool {
		s, err := stat(d.proc.pid())
		return err != nil || s.state == "T"
	})
}

func (d *daemon) thaw() {
	d.tb.Helper()
	d.frozen = false
	d.proc.signal(d.tb, syscall.SIGCONT)
}

// line is one line of the log.
type line struct {
	Level   string `json:"level"`
	Time    string `json:"time"`
	Message string `json:"message"`
	Listen  string `json:"listen"`
}

// lines reads the log from an offset on.
func (d *daemon) lines(from int64) []line {
	data, err := os.ReadFile(d.log)
	if err != nil || int64(len(data)) < from {
		return nil
	}
	var out []line
	for text := range bytes.Lines(data[from:]) {
		var l line
		if json.Unmarshal(text, &l) != nil {
			l.Message = string(text) // the program's last word, or a panic
		}
		out = append(out, l)
	}
	return out
}

// said counts the lines whose message begins so.
func (d *daemon) said(message string) int {
	count := 0
	for _, l := range d.lines(0) {
		if strings.HasPrefix(l.Message, message) {
			count++
		}
	}
	return count
}

// show keeps the log, and shows its end, for people who look for a fault.
func (d *daemon) show() {
	data, err := os.ReadFile(d.log)
	if err != nil {
		return
	}
	if dir := d.tb.ArtifactDir(); dir != "" {
		_ = os.WriteFile(filepath.Join(dir, filepath.Base(d.log)), data, 0o600)
	}
	const most = 100
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	d.tb.Logf("log of %s, its last %d lines of %d:\n%s", d.name, min(most, len(lines)), len(lines),
		strings.Join(lines[max(0, len(lines)-most):], "\n"))
}

// state asks the daemon what it is; "" when it does not answer.
func (d *daemon) state() string {
	code, body := d.get(d.tb.Context(), "/v1/server/ha/state")
	var state string
	if code != http.StatusOK || json.Unmarshal(body, &state) != nil {
		return ""
	}
	return state
}

func (d *daemon) get(ctx context.Context, path string) (code int, body []byte) {
	at := d.at.Load()
	if at == nil {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *at+path, nil)
	if err != nil {
		return 0, nil
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

package watchdog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// again is how soon after a start another may follow.
const again = time.Second

// starter starts watchdogs that outlive this process. It waits for none: the kernel can
// hold up whoever loads a program, for as long as it likes.
type starter struct {
	command []string
	log     string

	mu    sync.Mutex
	under bool      // a start is under way
	began time.Time // the last one
	last  string    // what became of it

	// seen is told of each process, for tests that have to end them all.
	seen func(p *os.Process)
}

// start begins one unless it is too soon, and says how things stand.
func (s *starter) start() error {
	if len(s.command) == 0 {
		return errors.New("and none is started from here")
	}
	if !filepath.IsAbs(s.command[0]) {
		return fmt.Errorf("%s: it is started by an absolute path only", s.command[0])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.under || (!s.began.IsZero() && time.Since(s.began) < again) {
		return errors.New(s.last)
	}
	s.under, s.began = true, time.Now()
	before := s.last
	s.last = "it is being started"
	go s.run()
	if before == "" {
		return errors.New(s.last)
	}
	return fmt.Errorf("%s, again (the last time: %s)", s.last, before)
}

// run starts one and waits for its end, so that nothing of it is left here.
func (s *starter) run() {
	p, err := s.spawn()
	text := ""
	if err != nil {
		text = fmt.Sprintf("it cannot be started: %v", err)
	} else {
		text = fmt.Sprintf("it was started, as process %d", p.Pid)
	}
	if err == nil && s.seen != nil {
		s.seen(p)
	}
	s.mu.Lock()
	s.under, s.last = false, text
	s.mu.Unlock()
	if err != nil {
		return
	}
	ended, err := p.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == text { // else another was started since
		s.last = fmt.Sprintf("process %d was started, and has ended: %v", p.Pid, outcome(ended, err))
	}
}

// outcome is how a process has ended.
func outcome(state *os.ProcessState, err error) string {
	if err != nil {
		return err.Error()
	}
	return state.String()
}

func (s *starter) spawn() (*os.Process, error) {
	log, err := openLog(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return os.StartProcess(s.command[0], s.command, &os.ProcAttr{
		Dir: "/", // no mount is held by it
		Env: slices.DeleteFunc(os.Environ(), ofTheDaemon), Files: []*os.File{null, log, log},
		// A session of its own: no terminal's signal, and none to the daemon's group, is meant
		// for it.
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
}

// ofTheDaemon says whether a variable is for the daemon alone: the service manager's
// words, and what opens its store.
func ofTheDaemon(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	for _, prefix := range []string{"LISTEN_", "WATCHDOG_", "AWS_", "MINIO_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"NOTIFY_SOCKET", "INVOCATION_ID", "MAINPID"}, name)
}

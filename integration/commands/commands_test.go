// Package commands runs the program as people do, from scripts: its answers,
// its exit codes, and what it leaves untouched when the input is bad.
package commands

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/hoster-ha/hoster-ha/cli"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// leakless are tests that may leave no goroutine behind.
type leakless struct{ *testing.M }

func (m leakless) Run() (code int) {
	goleak.VerifyTestMain(m.M, goleak.Cleanup(func(c int) { code = c }))
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){
		"hoster-ha": func() { os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			// Race builds would wait a second at each exit.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":       code,
			"eventually": eventually,
			"await":      await,
			"edit":       edit,
			"fill":       fill,
			"tree":       tree,
		},
	})
}

// code N CMD ...: the program ends with exit code N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		if _, scanErr := fmt.Sscanf(err.Error(), "exit status %d", &got); scanErr != nil {
			ts.Fatalf("%v", err)
		}
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

const patience = 30 * time.Second

// eventually TEXT CMD ...: the command's output contains TEXT before long.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		_ = ts.Exec(args[1], args[2:]...)
		if strings.Contains(ts.ReadFile("stdout")+ts.ReadFile("stderr"), args[0]) {
			return
		}
	}
	ts.Fatalf("not within %s: %q", patience, args[0])
}

// await NODE STATE: the node's heartbeat in ./p says so, and its HTTP agrees.
func await(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		data, err := os.ReadFile(ts.MkAbs(filepath.Join("p", record.HeartbeatKey(args[0]))))
		if err != nil {
			continue
		}
		var hb record.Heartbeat
		if record.Open(record.KindHeartbeat, data, &hb) != nil || hb.State != args[1] {
			continue
		}
		if hb.State == "TERMINATED" || says(hb.URL, args[1]) {
			return
		}
	}
	ts.Fatalf("%s is not %s within %s", args[0], args[1], patience)
}

func says(url, state string) bool {
	resp, err := http.Get(url + "v1/server/ha/state") //nolint:noctx // a local test server
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var body [64]byte
	n, _ := resp.Body.Read(body[:])
	return strings.TrimSpace(string(body[:n])) == strconv.Quote(state)
}

// edit FILE OLD NEW: replaces text in a file.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	changed := strings.Replace(string(data), args[1], args[2], 1)
	if changed == string(data) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, []byte(changed), 0o644))
}

// fill FILE SIZE: a file of so many bytes.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), make([]byte, size), 0o644))
}

// tree FOLDER FILE: writes what lies in the folder, names and contents, so that
// two of them can be compared.
func tree(ts *testscript.TestScript, _ bool, args []string) {
	var out strings.Builder
	root := ts.MkAbs(args[0])
	ts.Check(filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		fmt.Fprintf(&out, "%s %s\n", rel, record.Hash(data))
		return err
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o644))
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// edit is a piece of source text, which has to stand exactly once in its file, and
// what takes its place.
type edit struct {
	File string `yaml:"file"`
	Old  string `yaml:"old"`
	New  string `yaml:"new"`
}

// mutant is one broken rule.
type mutant struct {
	Rule string `yaml:"rule"`
	edit `yaml:",inline"`
	Also []edit `yaml:"also"`
	// Packages whose tests are to notice; none: the simulator is to find it.
	Packages []string `yaml:"packages"`
}

func (m mutant) edits() []edit { return append([]edit{m.edit}, m.Also...) }

// in gives the file as it stands and as the edit leaves it.
func (e edit) in(dir string) (whole, broken []byte, err error) {
	whole, err = os.ReadFile(filepath.Join(dir, e.File))
	if err != nil {
		return nil, nil, err
	}
	if n := bytes.Count(whole, []byte(e.Old)); n != 1 {
		return nil, nil, fmt.Errorf("%s: its text stands there %d times", e.File, n)
	}
	return whole, bytes.Replace(whole, []byte(e.Old), []byte(e.New), 1), nil
}

// load reads a list of mutants.
func load(list string) ([]mutant, error) {
	data, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	var all []mutant
	if err := yaml.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	return all, nil
}

// How long the tests of a mutant may take, and the simulator to find one.
const (
	testsTake  = 5 * time.Minute
	searchTake = 20 * time.Minute
)

// finding is what became of a mutant. Nothing noticed it if no test is red.
type finding struct {
	red   []string // tests, or the simulator's rules
	after int      // schedules; 0 for tests
}

// try breaks the rule in the copy, runs what is to notice and puts it right again.
func (m mutant) try(ctx context.Context, dir string, schedules int) (finding, error) {
	for _, e := range m.edits() {
		whole, broken, err := e.in(dir)
		if err != nil {
			return finding{}, err
		}
		path := filepath.Join(dir, e.File)
		if err := os.WriteFile(path, broken, 0o644); err != nil {
			return finding{}, err
		}
		defer func() { _ = os.WriteFile(path, whole, 0o644) }()
	}
	if len(m.Packages) == 0 {
		out, err := runTests(ctx, dir, searchTake, "./sim", "-v", "-run=^TestRandom$", "-sim.schedules="+strconv.Itoa(schedules))
		return found(out), err
	}
	out, err := runTests(ctx, dir, testsTake, m.Packages...)
	return noticed(out), err
}

// runTests gives what go test has printed if a test went red, nothing if none did.
func runTests(ctx context.Context, dir string, takes time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, takes)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-vet=off", "-trimpath", "-timeout=" + takes.String()}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil, nil
	}
	if _, ok := errors.AsType[*exec.ExitError](err); !ok || ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	if bytes.Contains(out, []byte("[build failed]")) {
		return nil, fmt.Errorf("it does not compile:\n%s", out)
	}
	return out, nil
}

var (
	failed    = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	violation = regexp.MustCompile(`(?m)^ +seed \d+ .*:\n +([a-z ]+): |random_test\.go:\d+: seed \d+ .*:\n +([a-z ]+): `)
	counted   = regexp.MustCompile(`(\d+) schedules in`)
)

// noticed lists the tests that went red.
func noticed(out []byte) finding {
	var f finding
	for _, m := range failed.FindAllSubmatch(out, -1) {
		if name := string(m[1]); !slices.Contains(f.red, name) {
			f.red = append(f.red, name)
		}
	}
	if len(f.red) == 0 && out != nil {
		f.red = []string{"a panic or a deadlock"}
	}
	return f
}

// found lists the simulator's rules that were broken, and after how many schedules.
func found(out []byte) finding {
	var f finding
	if m := counted.FindSubmatch(out); m != nil {
		f.after, _ = strconv.Atoi(string(m[1]))
	}
	for _, m := range violation.FindAllSubmatch(out, -1) {
		if name := strings.TrimSpace(string(m[1]) + string(m[2])); !slices.Contains(f.red, name) {
			f.red = append(f.red, name)
		}
	}
	if len(f.red) == 0 && out != nil {
		f.red = []string{"a panic or a deadlock"}
	}
	return f
}

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// mutant is one broken rule.
type mutant struct {
	Rule     string   `yaml:"rule"`
	File     string   `yaml:"file"`
	Old      string   `yaml:"old"`
	New      string   `yaml:"new"`
	Packages []string `yaml:"packages"` // whose tests are to notice
}

func main() {
	only := flag.String("run", "", "regular expression: only mutants whose rule matches")
	list := flag.String("list", "mutants/list.yaml", "the mutants")
	flag.Parse()
	if err := run(context.Background(), *list, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, list, only string) error {
	data, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var all []mutant
	if err := yaml.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	pick, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hoster-ha-mutants-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.CopyFS(dir, source(".")); err != nil {
		return err
	}
	missed := 0
	for _, m := range all {
		if !pick.MatchString(m.Rule) {
			continue
		}
		began := time.Now()
		red, err := m.try(ctx, dir)
		verdict := strings.Join(red, ", ")
		switch {
		case err != nil:
			verdict = err.Error()
			missed++
		case len(red) == 0:
			verdict = "NOT NOTICED"
			missed++
		}
		fmt.Printf("%-70s %5.1fs  %s\n", m.Rule, time.Since(began).Seconds(), verdict)
	}
	if missed > 0 {
		return fmt.Errorf("%d mutants were not noticed", missed)
	}
	return nil
}

// source is the module without what no test needs.
func source(root string) fs.FS { return sourceFS{os.DirFS(root)} }

type sourceFS struct{ fs.FS }

func (s sourceFS) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return e.Name() == ".git" }), err
}

var failed = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// try breaks the rule in the copy, runs the tests and puts it right again. It
// returns the tests that went red.
func (m mutant) try(ctx context.Context, dir string) ([]string, error) {
	path := filepath.Join(dir, m.File)
	whole, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(whole, []byte(m.Old)); n != 1 {
		return nil, fmt.Errorf("%s: its text stands there %d times", m.File, n)
	}
	broken := bytes.Replace(whole, []byte(m.Old), []byte(m.New), 1)
	if err := os.WriteFile(path, broken, 0o644); err != nil {
		return nil, err
	}
	defer func() { _ = os.WriteFile(path, whole, 0o644) }()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-vet=off"}, m.Packages...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil, nil
	}
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		return nil, err
	}
	if bytes.Contains(out, []byte("[build failed]")) {
		return nil, fmt.Errorf("it does not compile:\n%s", out)
	}
	var names []string
	for _, f := range failed.FindAllSubmatch(out, -1) {
		if name := string(f[1]); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = []string{"a panic or a deadlock"}
	}
	return names, nil
}

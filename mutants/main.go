package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	only := flag.String("run", "", "regular expression: only mutants whose rule matches")
	schedules := flag.Int("schedules", 10000, "within how many the simulator has to find its mutants")
	flag.Parse()
	lists := flag.Args()
	if len(lists) == 0 {
		lists = []string{"mutants/protocol.yaml", "mutants/list.yaml"}
	}
	if err := run(context.Background(), lists, *only, *schedules); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, lists []string, only string, schedules int) error {
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
	for _, list := range lists {
		all, err := load(list)
		if err != nil {
			return err
		}
		fmt.Printf("| broken: %s | what went red | schedules | s |\n|---|---|---|---|\n", list)
		for _, m := range all {
			if pick.MatchString(m.Rule) && !m.show(ctx, dir, schedules) {
				missed++
			}
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d mutants were not noticed", missed)
	}
	return nil
}

// show tries a mutant and prints its row, and says whether it was noticed.
func (m mutant) show(ctx context.Context, dir string, schedules int) bool {
	began := time.Now()
	f, err := m.try(ctx, dir, schedules)
	verdict, after := strings.Join(f.red, ", "), ""
	switch {
	case err != nil:
		verdict = "ERROR " + err.Error()
	case len(f.red) == 0:
		verdict = "NOT NOTICED"
	case f.after > 0:
		after = fmt.Sprint(f.after)
	}
	fmt.Printf("| %s | %s | %s | %.0f |\n", m.Rule, verdict, after, time.Since(began).Seconds())
	return err == nil && len(f.red) > 0
}

// source is the module without what no test needs.
func source(root string) fs.FS { return sourceFS{os.DirFS(root)} }

type sourceFS struct{ fs.FS }

func (s sourceFS) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return e.Name() == ".git" }), err
}

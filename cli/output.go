package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// Forms of output.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// output is the flag -o.
type output string

func outputFlag(cmd *cobra.Command) *output {
	o := output(outputTable)
	cmd.Flags().VarP(&o, "output", "o", "`form`: table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{outputTable, outputJSON}, cobra.ShellCompDirectiveNoFileComp))
	return &o
}

func (o *output) String() string { return string(*o) }

// Type implements pflag.Value.
func (o *output) Type() string { return "form" }

// Set implements pflag.Value.
func (o *output) Set(v string) error {
	if v != outputTable && v != outputJSON {
		return fmt.Errorf("one of %s, %s", outputTable, outputJSON)
	}
	*o = output(v)
	return nil
}

func (o *output) json() bool { return *o == outputJSON }

// printJSON prints one value over several lines.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows in columns; cells are text of one line.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, head ...any) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

func (t table) row(cells ...any) {
	line := make([]string, len(cells))
	for i, c := range cells {
		line[i] = oneLineOf(fmt.Sprint(c))
		if line[i] == "" {
			line[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(line, "\t"))
}

// oneLineOf keeps text that others wrote from breaking the layout, or a terminal.
func oneLineOf(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// when shows a time of the wall clock to people.
func when(t time.Time) string { return t.Local().Format(time.DateTime) }

func (t table) flush() error { return t.w.Flush() }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// ago shows an age in seconds; nil is unknown.
func ago(age *float64) string {
	if age == nil {
		return "?"
	}
	if *age < 10 {
		return fmt.Sprintf("%.1fs", *age)
	}
	return time.Duration(*age * float64(time.Second)).Round(time.Second).String()
}

// names gives the keys in order.
func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// args is the number of arguments that a command takes.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		switch {
		case len(got) < least:
			return usageError{fmt.Errorf("%s: too few arguments; usage: %s", cmd.CommandPath(), cmd.UseLine())}
		case len(got) > most:
			return usageError{fmt.Errorf("%s: unexpected argument %q; usage: %s", cmd.CommandPath(), got[most], cmd.UseLine())}
		}
		return nil
	}
}

// meanings of the exit codes, for the help texts.
var meanings = map[int]string{
	ExitOK:      "done",
	ExitFailed:  "failed",
	ExitUsage:   "wrong flags, settings or names",
	ExitStore:   "the store cannot be used",
	ExitCluster: "no cluster there, or a damaged history",
	ExitName:    "the local memory is in use by another process",
	ExitRefused: "refused",
	ExitTimeout: "nobody answered in time",
}

// exits is the part of a help text that lists exit codes.
func exits(codes ...int) string {
	var b strings.Builder
	b.WriteString("Exit codes:")
	for _, c := range codes {
		fmt.Fprintf(&b, "\n  %d  %s", c, meanings[c])
	}
	return b.String()
}

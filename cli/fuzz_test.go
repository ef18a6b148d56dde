package cli

import (
	"strings"
	"testing"
	"unicode"
)

// FuzzOneLineOf: whatever others wrote into a record, what is shown of it is one
// line, without what a terminal would obey, and is not changed by being shown.
func FuzzOneLineOf(f *testing.F) {
	for _, text := range []string{
		"", " a\tb\n", "\x1b[2Jgone", "\u202eback", "a\u00a0b", "\xff\xfe", "\u2028", "e\u0301", "\u0085", "a\x00b", "\r\nroot: ok", "\u200b", "\U000e0001",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := oneLineOf(text)
		for _, r := range shown {
			if r != ' ' && (unicode.IsSpace(r) || !unicode.IsPrint(r)) {
				t.Errorf("%q is shown as %q", text, shown)
			}
		}
		if again := oneLineOf(shown); again != shown || strings.TrimSpace(shown) != shown {
			t.Errorf("%q is shown as %q, and that as %q", text, shown, again)
		}
	})
}

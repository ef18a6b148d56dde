package check

import (
	"bytes"
	"testing"
)

// FuzzAdd reads any evidence. Each record of it is either part of a run or of
// what was made, or told to be broken: none is passed over, for what it says may
// be the very thing that must not happen.
func FuzzAdd(f *testing.F) {
	start := `{"kind":"start","vm":"v","host":"a","pid":1,"boot_ns":5,"counter":3,"generation":2}` + "\n"
	for _, text := range []string{
		start, start + `{"kind":"beat","vm":"v","host":"a","boot_ns":6,"counter":4}` + "\n", start[:40], start + start,
		start + `{"kind":"stop","vm":"v","host":"a","boot_ns":6}` + "\n" + `{"kind":"beat","vm":"v","host":"a","boot_ns":7}` + "\n",
		start + `{"kind":"beat","vm":"v","host":"a","boot_ns":1}` + "\n", `{"kind":"prepare","vm":"v","host":"a","boot_ns":1}` + "\n",
		`{"kind":"snapshot","vm":"w","host":"a","boot_ns":1}` + "\n", `{"kind":"x","vm":"v","host":"a","boot_ns":1}` + "\n\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var h history
		h.add("v", "file", data)
		for text := range bytes.Lines(data) {
			var one history // in which not even a beat has a run to be part of
			one.add("v", "file", text)
			known := len(one.runs) + len(one.prepares) + len(one.made) + len(one.broken)
			if whole := bytes.HasSuffix(text, []byte("\n")); whole != (known == 1) {
				t.Errorf("of %q %d things are known", text, known)
			}
		}
		for _, r := range h.runs {
			if r.host == "" || r.start <= 0 || r.end < r.start {
				t.Errorf("the %s", r)
			}
		}
	})
}

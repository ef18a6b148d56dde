package watchdog

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestProtectedOrSaysWhyNot: the kernel itself says that the process is not chosen when
// memory runs short, is not paged out, and goes before all that is not realtime; what it
// could not have, it tells.
func TestProtectedOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	w := newGuarded(t)
	s, err := w.dial().State()
	must(t, err)
	read := func(file string) string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.PID, file))
		must(t, err)
		return strings.TrimSpace(string(data))
	}
	field := func(name string) int {
		lines := bufio.NewScanner(bytes.NewReader([]byte(read("status"))))
		for lines.Scan() {
			if value, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
				n, err := strconv.Atoi(strings.Fields(value)[0])
				must(t, err)
				return n
			}
		}
		t.Fatalf("the kernel says nothing of %s", name)
		return 0
	}
	locked, size, spared := field("VmLck"), field("VmSize"), read("oom_score_adj") == "-1000"
	if protected := locked > 0 && spared; protected != (s.Memory == "") {
		t.Errorf("locked %d kB, spared %t, and it says %q", locked, spared, s.Memory)
	}
	if here := field("VmRSS"); here*2 > size {
		t.Errorf("%d of %d kB are in memory: more than what was touched", here, size)
	}
	realtime := 0
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.PID))
	must(t, err)
	for _, thread := range threads {
		// The 41st field is the policy, counted behind the name, which may hold blanks.
		_, rest, _ := strings.Cut(read("task/"+thread.Name()+"/stat"), ") ")
		const policy, roundRobin = 41 - 3, "2"
		if f := strings.Fields(rest); len(f) > policy && f[policy] == roundRobin {
			realtime++
		}
	}
	if protected := realtime >= 2; protected != (s.Realtime == "") {
		t.Errorf("%d threads are realtime, and it says %q", realtime, s.Realtime)
	}
}

package command

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

func TestDecodeVMs(t *testing.T) {
	got, err := decodeVMs("web running\n\n  db\tstopped \nx.y:z@1+2_3-4 unknown\nbare")
	want := []vmctl.VM{{Name: "web", State: "running"}, {Name: "db", State: "stopped"}, {Name: "x.y:z@1+2_3-4", State: "unknown"}, {Name: "bare"}}
	if err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%v %v", got, err)
	}
	for _, empty := range []string{"", "\n", " \t\n\n"} {
		if got, err := decodeVMs(empty); err != nil || len(got) != 0 {
			t.Errorf("%q: %v %v", empty, got, err)
		}
	}
	for _, bad := range []string{
		"a;touch pwned", "a;b", "-rf", ".", "..", ".hidden", "a/b", "a\x00", "a\x1b[0m", "a\r", "web running\r",
		"é", "a\xff", "web Running", "web up", "web running now", "web\nweb running", "$(x)", "`x`", "{vm}", "a\vb",
		strings.Repeat("x", 129), "# comment",
	} {
		var le *LineError
		if got, err := decodeVMs("good running\n" + bad + "\n"); !errors.As(err, &le) || got != nil || le.Number < 2 {
			t.Errorf("%q: %v %v", bad, got, err)
		}
	}
}

func TestDecodeDatasets(t *testing.T) {
	at := func(n int64) time.Time { return time.Unix(n, 0).UTC() }
	got, err := decodeDatasets("web 111 100\nempty\nweb 222 50\nweb written\nraw written\n")
	want := []record.Dataset{
		{VM: "web", Snapshots: []record.Snapshot{{GUID: "111", Created: at(100)}, {GUID: "222", Created: at(50)}}, Written: true},
		{VM: "empty"},
		{VM: "raw", Written: true},
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%v", cmp.Diff(want, got))
	}
	for _, bad := range []string{
		"web 111", "web 111 x", "web 111 -1", "web 111 +1", "web 111 1.5", "web 111 1 2", "web 111 253402300800",
		"web 111 99999999999999999999", "web -1 5", "web a/b 5", "-x 1 1", "web 1 1\nweb 1 2", "web written\nweb written",
		"web\nweb 1 1", "web 1 1\nweb", "web\nweb", "web Written",
	} {
		var le *LineError
		if got, err := decodeDatasets(bad); !errors.As(err, &le) || got != nil {
			t.Errorf("%q: %v %v", bad, got, err)
		}
	}
}

func FuzzDecodeVMs(f *testing.F) {
	for _, s := range []string{"", "web running\ndb stopped\n", "web", "a;touch pwned", "a\x00b running", "x\nx", "\xff unknown"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		vms, err := decodeVMs(text)
		if err != nil {
			if vms != nil {
				t.Fatal("an error with VMs")
			}
			return
		}
		var again strings.Builder
		seen := map[string]bool{}
		for _, v := range vms {
			if CheckName(v.Name) != nil || seen[v.Name] {
				t.Fatalf("name %q", v.Name)
			}
			seen[v.Name] = true
			again.WriteString(v.Name + " " + v.State + "\n")
		}
		if vms2, err := decodeVMs(again.String()); err != nil || !cmp.Equal(vms, vms2) {
			t.Fatalf("%v read again: %v %v", vms, vms2, err)
		}
		if len(strings.Fields(text)) > 0 && len(vms) == 0 {
			t.Fatalf("%q says nothing", text)
		}
	})
}

func FuzzDecodeDatasets(f *testing.F) {
	for _, s := range []string{"", "web 1 2\nweb written\ndb\n", "web 1", "web 1 99999999999999", "a b c d", "x written\nx written"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sets, err := decodeDatasets(text)
		if err != nil {
			if sets != nil {
				t.Fatal("an error with datasets")
			}
			return
		}
		seen := map[string]bool{}
		for _, s := range sets {
			if CheckName(s.VM) != nil || seen[s.VM] {
				t.Fatalf("VM %q", s.VM)
			}
			seen[s.VM] = true
			for _, snap := range s.Snapshots {
				if _, err := snap.Created.MarshalJSON(); err != nil || CheckName(snap.GUID) != nil {
					t.Fatalf("snapshot %+v: %v", snap, err)
				}
			}
		}
	})
}

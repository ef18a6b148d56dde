package vm

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/demo/check"
)

// grow lets the VM run for a while and snapshots it.
func (l *lab) grow(host, vm string) string {
	l.t.Helper()
	l.must(host, "start", vm)
	l.must(host, "monitor", vm)
	l.must(host, "stop", vm)
	l.must(host, "snapshot", vm)
	g := l.guids(host, vm)
	return g[len(g)-1]
}

func (l *lab) glob(pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(l.root, pattern))
	return found
}

func TestPrepareKeepsAside(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	l.must("a", "create", "web")
	one, two := l.grow("a", "web"), l.grow("a", "web")
	three := l.grow("a", "web")
	if got := l.guids("b", "web"); !slices.Equal(got, []string{one, two, three}) {
		t.Fatalf("replica: %v", got)
	}
	l.refused("no such snapshot", "b", "prepare", "web", "1", "2")
	l.must("b", "prepare", "web", two, "2")
	if got := l.guids("b", "web"); !slices.Equal(got, []string{one, two}) {
		t.Fatalf("own: %v", got)
	}
	if len(l.glob("b/aside/web/*/beyond/"+three+".snap")) != 1 {
		t.Fatal("what the replica held beyond is not aside")
	}
	l.must("b", "start", "web")
	l.refused("it runs here", "b", "prepare", "web", one, "3")
	l.must("b", "monitor", "web")
	l.must("b", "stop", "web")
	ran, err := readDisk("web", filepath.Join(l.root, "b", "vms", "web", "disk"))
	if err != nil {
		t.Fatal(err)
	}
	l.must("b", "prepare", "web", two, "2") // again: nothing
	if now, err := readDisk("web", filepath.Join(l.root, "b", "vms", "web", "disk")); err != nil || now != ran {
		t.Fatalf("prepared twice: the counter went from %d to %d, %v", ran, now, err)
	}
	l.refused("was prepared at snapshot "+two, "b", "prepare", "web", one, "2")

	// The owner's replication goes round a host with a disk of its own, and sets
	// aside what the other replica holds beyond.
	four := l.grow("b", "web")
	if got := l.guids("c", "web"); !slices.Equal(got, []string{one, two, four}) {
		t.Fatalf("c: %v", got)
	}
	if len(l.glob("c/aside/web/*/beyond/"+three+".snap")) != 1 {
		t.Fatal("what c held beyond is not aside")
	}
	if got := l.guids("a", "web"); !slices.Equal(got, []string{one, two, three}) {
		t.Fatalf("a: %v", got)
	}
	l.refused("disk of generation 2", "c", "prepare", "web", one, "2")

	// Given up, the disk is a replica again; its divergence is kept.
	l.must("a", "set-aside", "web")
	if got := l.must("a", "list"); got != "" {
		t.Fatalf("a: %q", got)
	}
	l.must("b", "snapshot", "web")
	if got := l.guids("a", "web"); !slices.Equal(got, []string{one, two, four}) {
		t.Fatalf("a: %v", got)
	}
	if len(l.glob("a/aside/web/*/disk")) != 1 || len(l.glob("a/aside/web/*/beyond/"+three+".snap")) != 1 {
		t.Fatal("the divergence of a is not aside")
	}
	l.must("a", "prepare", "web", four, "3")
	l.grow("a", "web")
	l.clean()
}

// What a kill left of a prepare is finished by the next.
func TestPrepareIsFinished(t *testing.T) {
	for name, undo := range map[string]func(h Host, aside string) error{
		"own disk moved": func(h Host, aside string) error { return moveAside(h.disk("web"), aside, "disk") },
		"all of the own moved": func(h Host, aside string) error {
			if err := moveAside(h.disk("web"), aside, "disk"); err != nil {
				return err
			}
			return moveAside(h.ownDir("web"), aside, "snapshots")
		},
		"trimmed, files not moved": func(h Host, aside string) error {
			d, err := loadDataset(h.replicaDir("web"))
			if err != nil {
				return err
			}
			d.Snapshots = d.Snapshots[:1]
			return d.store(h.replicaDir("web"))
		},
		"promoted": func(h Host, aside string) error {
			d, err := loadDataset(h.replicaDir("web"))
			if err == nil {
				_, err = h.promote("web", d.Snapshots[0].GUID, d, aside)
			}
			return err
		},
		"not marked": func(h Host, aside string) error {
			d, err := loadDataset(h.replicaDir("web"))
			if err != nil {
				return err
			}
			guid := d.Snapshots[0].GUID
			if d, err = h.promote("web", guid, d, aside); err != nil {
				return err
			}
			if err := h.diskFrom("web", guid, d, 2); err != nil {
				return err
			}
			d.Generation, d.Prepared = 0, ""
			return d.store(h.ownDir("web"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, "a", "b")
			l.must("a", "create", "web")
			one := l.grow("a", "web")
			l.grow("a", "web")
			h, err := NewHost(l.root, "b")
			if err != nil {
				t.Fatal(err)
			}
			if err := undo(h, h.newAside("web")); err != nil {
				t.Fatal(err)
			}
			l.must("b", "prepare", "web", one, "2")
			if got := l.guids("b", "web"); !slices.Equal(got, []string{one}) {
				t.Fatalf("own: %v", got)
			}
			l.grow("b", "web")
			l.clean()
		})
	}
}

// A host whose own disk is behind is prepared from its own snapshots.
func TestPrepareFromOwnSnapshots(t *testing.T) {
	l := newLab(t, "a")
	l.must("a", "create", "web")
	one, two := l.grow("a", "web"), l.grow("a", "web")
	l.must("a", "prepare", "web", one, "5")
	if len(l.glob("a/aside/web/*/disk")) != 1 || len(l.glob("a/aside/web/*/beyond/"+two+".snap")) != 1 {
		t.Fatal("not kept aside")
	}
	l.grow("a", "web")
	l.clean()
}

func TestReplicationRefusesOwnDisk(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	l.must("a", "create", "web")
	l.must("b", "create", "web")
	a, err := NewHost(l.root, "a")
	if err != nil {
		t.Fatal(err)
	}
	var report strings.Builder
	if err := a.Snapshot(t.Context(), "web", &report); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(report.String(), "to b: a foreign lineage: the host has an own disk") || strings.Count(report.String(), "\n") != 1 {
		t.Fatalf("report: %s", report.String())
	}
	if got := l.must("b", "snapshots"); got != "web written\n" {
		t.Fatalf("b: %q", got)
	}
	if len(l.guids("c", "web")) != 1 {
		t.Fatal("c got nothing")
	}
	if err := a.Snapshot(t.Context(), "web", io.Discard); err != nil {
		t.Fatal(err)
	}
	if n := len(l.guids("a", "web")); n != 1 {
		t.Fatalf("%d snapshots of an unchanged disk", n)
	}
}

// What an owner of an older generation still sends is refused.
func TestReplicationRefusesOlderGeneration(t *testing.T) {
	l := newLab(t, "a", "b", "c")
	l.must("a", "create", "web")
	one := l.grow("a", "web")
	l.must("b", "prepare", "web", one, "2")
	two := l.grow("b", "web")
	l.must("a", "start", "web") // a wrong start, of a's own old disk
	l.must("a", "monitor", "web")
	l.must("a", "snapshot", "web")
	if got := l.guids("c", "web"); !slices.Equal(got, []string{one, two}) {
		t.Fatalf("c: %v", got)
	}
	r, err := check.Check(l.root)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Violations) != 1 || r.Violations[0].Kind != check.Unprepared {
		t.Fatalf("violations: %v", r.Violations)
	}
}

func TestPlantIsFound(t *testing.T) {
	l := newLab(t, "a", "b")
	l.must("a", "create", "web")
	l.must("a", "start", "web")
	l.must("b", "start", "--plant", "web")
	l.await("beats of both", func() bool { return len(l.evidence("web", seenBeat)) > 6 })
	if got := l.must("b", "list"); got != "" {
		t.Fatalf("the driver of b knows of it: %q", got)
	}
	r, err := check.Check(l.root)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Violations, func(v check.Violation) bool { return v.Kind == check.Overlap }) {
		t.Fatalf("violations: %v", r.Violations)
	}
}

func TestDiskSurvivesTornSlot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := writeAtomic(path, diskImage("web", 4)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := uint64(5); n < 9; n++ {
		if err := writeSlot(f, "web", n); err != nil {
			t.Fatal(err)
		}
		if got, err := readDisk("web", path); err != nil || got != n {
			t.Fatal(got, err)
		}
	}
	if _, err := f.WriteAt(slot("web", 9)[:30], slotSize); err != nil {
		t.Fatal(err)
	}
	if got, err := readDisk("web", path); err != nil || got != 8 {
		t.Fatal(got, err)
	}
	if _, err := readDisk("db", path); err == nil {
		t.Fatal("another VM's disk was read")
	}
}

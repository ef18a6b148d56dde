package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProvider(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	record := `{ printf '%s|' "$@"; env | grep ^HOSTER_HA | sort; } >` + out
	c := SnapshotsConfig{
		Kind: Kind, List: script(t, "echo web 1 100; echo web 2 200; echo web written"),
		Prepare: script(t, record, "{vm}/{guid}@{generation}"), Snapshot: script(t, record, "{vm}"),
	}
	p, err := NewProvider(c, Host{Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	sets, err := p.List(t.Context())
	if err != nil || len(sets) != 1 || len(sets[0].Snapshots) != 2 || !sets[0].Written {
		t.Fatalf("%+v %v", sets, err)
	}
	if err := start(t.Context(), with(t, DriverConfig{Start: []string{"/bin/true"}}), p, "web"); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(out); string(b) != "web/g-1@7|HOSTER_HA_GENERATION=7\nHOSTER_HA_GUID=g-1\nHOSTER_HA_NODE=a\nHOSTER_HA_VM=web\n" {
		t.Errorf("prepare saw %q", b)
	}
	if err := p.Snapshot(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(out); string(b) != "web|HOSTER_HA_NODE=a\nHOSTER_HA_VM=web\n" {
		t.Errorf("snapshot saw %q", b)
	}
	if p.Snapshot(t.Context(), "a b") == nil {
		t.Error("a bad name")
	}
}

func TestProviderFails(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]string{
		"exit code": "echo web 1 100; exit 1",
		"hang":      "echo web 1 100; exec sleep 60",
		"flood":     "head -c 10485760 /dev/zero",
		"many":      `while :; do echo; done | head -c 10485760`,
		"bad line":  "echo web 1 100; echo web 2",
	} {
		p, err := NewProvider(SnapshotsConfig{Kind: Kind, List: script(t, list), Prepare: script(t, "echo no >&2; exit 1"), ListTimeout: 2 * time.Second}, Host{})
		if err != nil {
			t.Fatal(err)
		}
		if sets, err := p.List(t.Context()); err == nil || sets != nil {
			t.Errorf("%s: %v %v", name, sets, err)
		}
		if err := p.Snapshot(t.Context(), "web"); !errors.Is(err, ErrNoSnapshot) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		if err := start(t.Context(), with(t, DriverConfig{}), p, "web"); err == nil || !strings.Contains(err.Error(), "exit 1: no") {
			t.Errorf("prepare: %v", err)
		}
	}
}

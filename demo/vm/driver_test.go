package vm

import (
	"os"
	"testing"

	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/command"
)

// The command driver and provider understand the commands, and the VMs the
// deadline that the driver hands over.
func TestBehindTheCommandDriver(t *testing.T) {
	l := newLab(t, "a")
	l.must("a", "create", "web")
	t.Setenv(asProgram, "1")
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := func(args ...string) []string {
		return append([]string{exe, Command, "--root", l.root, "--host", "a"}, args...)
	}
	host := command.Host{Node: "a", BootID: testBoot, DeadlineFile: l.deadline}
	d, err := command.NewDriver(command.DriverConfig{
		Kind: command.Kind, SelfStop: true, List: line("list"), Start: line("start", "{vm}"),
		Stop: line("stop", "{vm}"), Kill: line("kill", "{vm}"), Monitor: line("monitor", "{vm}"),
	}, host)
	if err != nil {
		t.Fatal(err)
	}
	p, err := command.NewProvider(command.SnapshotsConfig{
		Kind: command.Kind, List: line("snapshots"), Snapshot: line("snapshot", "{vm}"),
		Prepare: line("prepare", "{vm}", "{guid}", "{generation}"),
	}, host)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.(vmctl.SelfStopper).HandDeadline(vmctl.NoDeadline); err != nil {
		t.Fatal(err)
	}
	l.must("a", "start", "web") // a permit is the gate's alone to give
	if err := d.Healthy(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if err := p.Snapshot(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	sets, err := p.List(t.Context())
	if err != nil || len(sets) != 1 || len(sets[0].Snapshots) != 1 {
		t.Fatalf("%+v, %v", sets, err)
	}
	if err := d.Kill(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	l.must("a", "start", "web")
	if err := d.Stop(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	l.clean()
}

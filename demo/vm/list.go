package vm

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// State is one VM of a host, as its lock tells.
type State struct {
	Name    string
	Running bool
}

// List names the VMs whose own disk is on this host, and any that runs here
// all the same. An error means that nothing is known.
func (h Host) List() ([]State, error) {
	dirs, err := os.ReadDir(h.path("vms"))
	if err != nil {
		return nil, fmt.Errorf("VMs of %s: %w", h.name, err)
	}
	var out []State
	for _, e := range dirs {
		_, running, err := holder(h.lock(e.Name()))
		if err != nil {
			return nil, fmt.Errorf("VMs of %s: %w", h.name, err)
		}
		disk, err := h.hasDisk(e.Name())
		if err != nil {
			return nil, fmt.Errorf("VMs of %s: %w", h.name, err)
		}
		if disk || running {
			out = append(out, State{Name: e.Name(), Running: running})
		}
	}
	return out, nil
}

// Snapshots prints "VM GUID UNIX-SECONDS" for every snapshot of every own disk
// and replica here, oldest first, and "VM written" for an own disk that changed
// since its newest.
func (h Host) Snapshots(w io.Writer) error {
	fail := func(err error) error { return fmt.Errorf("snapshots of %s: %w", h.name, err) }
	states, err := h.List()
	if err != nil {
		return fail(err)
	}
	var out strings.Builder
	own := map[string]bool{}
	for _, s := range states {
		own[s.Name] = true
		d, err := loadDataset(h.ownDir(s.Name))
		if err != nil {
			return fail(err)
		}
		counter, err := readDisk(s.Name, h.disk(s.Name))
		if err != nil {
			return fail(err)
		}
		d.print(&out, s.Name)
		if d.written(counter) {
			fmt.Fprintln(&out, s.Name, "written")
		}
	}
	dirs, err := os.ReadDir(h.path("replicas"))
	if err != nil {
		return fail(err)
	}
	for _, e := range dirs {
		if own[e.Name()] {
			continue // one dataset a VM: what the host owns goes first
		}
		d, err := loadDataset(h.replicaDir(e.Name()))
		if err != nil {
			return fail(err)
		}
		d.print(&out, e.Name())
	}
	_, err = io.WriteString(w, out.String())
	return err
}

func (d *dataset) print(out *strings.Builder, vm string) {
	for _, s := range d.Snapshots {
		fmt.Fprintln(out, vm, s.GUID, s.Created.Unix())
	}
}

package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

const (
	evidenceDir = "evidence"
	endedFile   = "ended"
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Host is one host's folder under the root.
type Host struct {
	root, name string
}

// NewHost names a host's folder; it need not exist yet.
func NewHost(root, name string) (Host, error) {
	if root == "" {
		return Host{}, errors.New("no root folder given")
	}
	if err := checkName("host", name); err != nil {
		return Host{}, err
	}
	if name == evidenceDir || name == endedFile {
		return Host{}, fmt.Errorf("no host can be named %q", name)
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return Host{}, fmt.Errorf("root folder %s: %w", root, err)
	}
	return Host{root: abs, name: name}, nil
}

func checkName(what, name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%q is no name for a %s: letters, digits, dot, dash and underscore", name, what)
	}
	return nil
}

// Name is the host's.
func (h Host) Name() string { return h.name }

func (h Host) path(parts ...string) string {
	return filepath.Join(append([]string{h.root, h.name}, parts...)...)
}

func (h Host) disk(vm string) string       { return h.path("vms", vm, "disk") }
func (h Host) lock(vm string) string       { return h.path("vms", vm, "lock") }
func (h Host) dataLock(vm string) string   { return h.path("vms", vm, "data.lock") }
func (h Host) ownDir(vm string) string     { return h.path("snapshots", vm) }
func (h Host) replicaDir(vm string) string { return h.path("replicas", vm) }
func (h Host) replicator() string          { return h.path("replicate.lock") }

// hasDisk says whether the VM's own disk is on this host.
func (h Host) hasDisk(vm string) (bool, error) { return exists(h.disk(vm)) }

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Create makes the host's folder and in it, for each VM named, an own disk
// whose counter is 0.
func (h Host) Create(vms ...string) error {
	for _, dir := range []string{"vms", "snapshots", "replicas", "aside"} {
		if err := os.MkdirAll(h.path(dir), 0o700); err != nil {
			return fmt.Errorf("make host %s: %w", h.name, err)
		}
	}
	for _, vm := range vms {
		if err := checkName("VM", vm); err != nil {
			return err
		}
		for _, path := range []string{h.disk(vm), h.ownDir(vm), h.replicaDir(vm)} {
			switch there, err := exists(path); {
			case err != nil:
				return fmt.Errorf("create %s: %w", vm, err)
			case there:
				return fmt.Errorf("create %s: host %s has %s already", vm, h.name, path)
			}
		}
		if err := os.MkdirAll(h.path("vms", vm), 0o700); err != nil {
			return fmt.Errorf("create %s: %w", vm, err)
		}
		if err := writeAtomic(h.disk(vm), diskImage(vm, 0)); err != nil {
			return fmt.Errorf("create %s: %w", vm, err)
		}
	}
	return nil
}

// others lists the other hosts of the root.
func (h Host) others() ([]Host, error) {
	all, err := hosts(h.root)
	if err != nil {
		return nil, err
	}
	var out []Host
	for _, o := range all {
		if o.name != h.name {
			out = append(out, o)
		}
	}
	return out, nil
}

func hosts(root string) ([]Host, error) {
	found, err := filepath.Glob(filepath.Join(globEscape(root), "*", "vms"))
	if err != nil {
		return nil, fmt.Errorf("hosts of %s: %w", root, err)
	}
	out := make([]Host, 0, len(found))
	for _, dir := range found {
		out = append(out, Host{root: root, name: filepath.Base(filepath.Dir(dir))})
	}
	return out, nil
}

var globMeta = regexp.MustCompile(`[\\*?\[]`)

func globEscape(path string) string { return globMeta.ReplaceAllString(path, `\$0`) }

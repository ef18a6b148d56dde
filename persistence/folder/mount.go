package folder

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/hoster-ha/hoster-ha/persistence"
)

const (
	// longestCache is how long an NFS client may take attributes for fresh without
	// asking, in seconds: the kernel's own longest.
	longestCache = 60
	// grace is for how long an NFS v4 server that was restarted lets nobody open or
	// link anything new, unless it is told otherwise.
	grace = 90 * time.Second
)

// mounted looks in the system's mount table for what holds the folder; nil if that
// cannot be told. It asks no file system, so that it cannot hang.
func mounted(root string) *mountinfo.Info {
	all, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil // no table, as in a jail: nothing can be said then
	}
	return mountOf(root, all)
}

// mountOf is the mount nearest above a folder; of two at one place the later one
// covers the earlier.
func mountOf(root string, all []*mountinfo.Info) *mountinfo.Info {
	var nearest *mountinfo.Info
	for _, m := range all {
		rel, err := filepath.Rel(m.Mountpoint, root)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		if nearest == nil || len(m.Mountpoint) >= len(nearest.Mountpoint) {
			nearest = m
		}
	}
	return nearest
}

// options of a mount, of all layers.
func options(m *mountinfo.Info) map[string]string {
	all := map[string]string{}
	for o := range strings.SplitSeq(m.Options+","+m.VFSOptions, ",") {
		name, value, _ := strings.Cut(o, "=")
		all[name] = value
	}
	return all
}

func isNFS(m *mountinfo.Info) bool { return m != nil && (m.FSType == "nfs" || m.FSType == "nfs4") }

// checkMount refuses mount options with which a host would not see what others have
// written.
func checkMount(root string, m *mountinfo.Info) error {
	if !isNFS(m) {
		return nil
	}
	set := options(m)
	refuse := func(option, why string) error {
		return fmt.Errorf("%w: %s is mounted (at %s) with the NFS option %s: %s; mount it without", persistence.ErrRefused, root, m.Mountpoint, option, why)
	}
	if _, ok := set["nocto"]; ok {
		return refuse("nocto", "other hosts' heartbeats would be read from a cache")
	}
	for _, name := range []string{"acregmin", "acregmax", "acdirmin", "acdirmax", "actimeo"} {
		if seconds, err := strconv.Atoi(set[name]); err == nil && seconds > longestCache {
			return refuse(fmt.Sprintf("%s=%d", name, seconds), fmt.Sprintf("other hosts' records would be missed for longer than %d s", longestCache))
		}
	}
	return nil
}

// Advice implements persistence.Advisor.
func (s *Store) Advice(renew time.Duration) []string { return advice(s.root, mounted(s.root), renew) }

func advice(root string, m *mountinfo.Info, renew time.Duration) []string {
	switch {
	case m == nil:
		return nil
	case isNFS(m):
		if v := options(m)["vers"]; strings.HasPrefix(v, "4") && renew < grace {
			return []string{fmt.Sprintf("%s is on NFS %s: after a restart such a server lets nobody open anything for up to %s, and leases last %s;"+
				" with vers=3 there is no such wait", root, v, grace, renew)}
		}
	case strings.HasPrefix(m.FSType, "fuse"):
		return []string{fmt.Sprintf("%s is on a FUSE file system (%s): whether link(2) is exclusive between hosts there, only its makers can say", root, m.FSType)}
	}
	return nil
}

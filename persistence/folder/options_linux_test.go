package folder

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// table is a mount table as Linux shows it, with one mount at /mnt/persist.
func table(t *testing.T, fstype, options string) []*mountinfo.Info {
	t.Helper()
	text := `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
90 22 0:50 / /mnt rw,relatime shared:2 - nfs old:/export rw,nocto,vers=3
91 90 0:51 / /mnt/persist rw,relatime shared:3 - nfs covered:/export rw,nocto,vers=3
92 91 0:52 / /mnt/persist rw,relatime shared:4 - ` + fstype + ` server:/export ` + options + `
93 22 0:53 / /mnt/persist-old rw,relatime shared:5 - nfs old:/export rw,nocto,vers=3
`
	all, err := mountinfo.GetMountsFromReader(strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMountOptions(t *testing.T) {
	for _, c := range []struct {
		fstype, options string
		refused, advice string
	}{
		{"nfs", "rw,vers=3,rsize=1048576,hard,proto=tcp,timeo=600,lookupcache=pos", "", ""},
		{"nfs", "rw,vers=3,soft,timeo=10,retrans=2", "", ""},
		{"nfs4", "rw,vers=4.2,hard", "", "vers=3"},
		{"nfs", "rw,vers=3,nocto", "nocto", ""},
		{"nfs4", "rw,vers=4.2,nocto", "nocto", "vers=3"},
		{"nfs", "rw,vers=3,acregmax=60,acdirmax=60", "", ""},
		{"nfs", "rw,vers=3,acregmax=61", "acregmax=61", ""},
		{"nfs", "rw,vers=3,acdirmin=600,acdirmax=600", "acdirmin=600", ""},
		{"nfs", "rw,vers=3,noac", "", ""},
		{"ext4", "rw,nocto", "", ""},
		{"fuse.glusterfs", "rw", "", "FUSE"},
	} {
		for _, root := range []string{"/mnt/persist", "/mnt/persist/cluster"} {
			m := mountOf(root, table(t, c.fstype, c.options))
			if m == nil || m.FSType != c.fstype {
				t.Fatalf("%s lies on %+v", root, m)
			}
			err := checkMount(root, m)
			if (err != nil) != (c.refused != "") || err != nil && (!errors.Is(err, persistence.ErrRefused) || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("%s %s: %v, want a refusal of %q", c.fstype, c.options, err, c.refused)
			}
			if text := strings.Join(advice(root, m, 20*time.Second), "\n"); !strings.Contains(text, c.advice) || (text == "") != (c.advice == "") {
				t.Errorf("%s %s: advice %q, want %q", c.fstype, c.options, text, c.advice)
			}
		}
	}
	if text := advice("/mnt/persist", mountOf("/mnt/persist", table(t, "nfs4", "rw,vers=4.2")), 2*time.Minute); text != nil {
		t.Errorf("leases that outlive the grace: %q", text)
	}
}

func TestMountTable(t *testing.T) {
	if m := mounted(t.TempDir()); m == nil || m.FSType == "" {
		t.Errorf("a folder of this machine lies on %+v", m)
	}
}

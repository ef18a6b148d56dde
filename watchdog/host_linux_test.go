package watchdog

import (
	"strings"
	"testing"
)

const (
	hardwareCPU = "processor\t: 0\nflags\t\t: fpu vme de pse tsc\n"
	guestCPU    = "processor\t: 0\nflags\t\t: fpu vme hypervisor tsc\n"
	armCPU      = "processor\t: 0\nFeatures\t: fp asimd\n"
)

func TestThisHost(t *testing.T) {
	for name, c := range map[string]struct {
		text, link      map[string]string
		guest, suspends string
	}{
		"a server":            {text: map[string]string{"/proc/cpuinfo": hardwareCPU, "/sys/class/dmi/id/sys_vendor": "Supermicro"}},
		"nothing can be read": {guest: "cannot be read"},
		"the processor's bit": {text: map[string]string{"/proc/cpuinfo": guestCPU}, guest: "its processor"},
		"by its firmware": {
			text: map[string]string{"/proc/cpuinfo": armCPU, "/sys/class/dmi/id/product_name": "KVM Virtual Machine"}, guest: "KVM Virtual Machine",
		},
		"Xen":                   {text: map[string]string{"/proc/cpuinfo": hardwareCPU, "/sys/hypervisor/type": "xen"}, guest: "xen"},
		"by its device tree":    {text: map[string]string{"/proc/cpuinfo": armCPU, "/proc/device-tree/hypervisor/compatible": "linux,kvm\x00"}, guest: "linux,kvm"},
		"it can sleep":          {text: map[string]string{"/proc/cpuinfo": hardwareCPU, "/sys/power/state": "freeze mem disk"}, suspends: "systemctl mask sleep.target"},
		"it is forbidden to":    {text: map[string]string{"/proc/cpuinfo": hardwareCPU, "/sys/power/state": "freeze mem disk"}, link: map[string]string{"/etc/systemd/system/sleep.target": "/dev/null"}},
		"a flag that is a word": {text: map[string]string{"/proc/cpuinfo": "model name\t: hypervisor 3000\nflags\t\t: fpu\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := lookAt(files{text: func(p string) string { return c.text[p] }, link: func(p string) string { return c.link[p] }})
			if (h.Guest == "") != (c.guest == "") || !strings.Contains(h.Guest, c.guest) {
				t.Errorf("guest: %q, want %q", h.Guest, c.guest)
			}
			if (h.Suspends == "") != (c.suspends == "") || !strings.Contains(h.Suspends, c.suspends) {
				t.Errorf("suspends: %q, want %q", h.Suspends, c.suspends)
			}
		})
	}
}

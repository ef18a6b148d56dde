package watchdog

import (
	"fmt"
	"os"
	"strings"
)

// ThisHost says what matters of the machine.
func ThisHost() Host {
	return lookAt(files{
		text: func(path string) string {
			data, err := os.ReadFile(path)
			if err != nil {
				return ""
			}
			return strings.TrimSpace(string(data))
		},
		link: func(path string) string {
			to, err := os.Readlink(path)
			if err != nil {
				return ""
			}
			return to
		},
	})
}

// files are what is read of a system; "" is what cannot be.
type files struct{ text, link func(path string) string }

// dmi are the fields in which a hypervisor's firmware names itself.
var dmi = []string{"sys_vendor", "product_name", "bios_vendor", "chassis_vendor"}

// hypervisors by their names there.
var hypervisors = []string{
	"QEMU", "KVM", "VMware", "VirtualBox", "innotek", "Xen", "Microsoft Corporation Virtual", "Virtual Machine", "Bochs", "BHYVE",
	"Parallels", "Google Compute Engine", "Amazon EC2", "OpenStack", "oVirt", "Nutanix", "Firecracker",
}

// lookAt reads a Linux system. What cannot be read counts against it: a guest that is
// taken for hardware would be trusted with what it cannot keep.
func lookAt(f files) Host {
	var h Host
	cpu := f.text("/proc/cpuinfo")
	switch {
	case cpu == "":
		h.Guest = "/proc/cpuinfo cannot be read"
	case hasFlag(cpu, "hypervisor"):
		h.Guest = "its processor says so"
	case f.text("/sys/hypervisor/type") != "":
		h.Guest = f.text("/sys/hypervisor/type")
	}
	for _, field := range dmi {
		value := f.text("/sys/class/dmi/id/" + field)
		for _, name := range hypervisors {
			if h.Guest == "" && strings.Contains(strings.ToLower(value), strings.ToLower(name)) {
				h.Guest = value
			}
		}
	}
	// A guest on a processor without such a flag is known by the tree of its devices.
	if tree := f.text("/proc/device-tree/hypervisor/compatible"); h.Guest == "" && tree != "" {
		h.Guest = strings.Trim(tree, "\x00")
	}
	states := f.text("/sys/power/state")
	masked := f.link("/etc/systemd/system/sleep.target") == "/dev/null" || f.link("/run/systemd/system/sleep.target") == "/dev/null"
	if !masked && states != "" {
		h.Suspends = fmt.Sprintf("its kernel offers %q, and nothing forbids it: systemctl mask sleep.target", states)
	}
	return h
}

// hasFlag looks for a word in the flags of /proc/cpuinfo.
func hasFlag(cpuinfo, flag string) bool {
	for line := range strings.Lines(cpuinfo) {
		name, flags, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "flags", "Features":
			for _, f := range strings.Fields(flags) {
				if f == flag {
					return true
				}
			}
		}
	}
	return false
}

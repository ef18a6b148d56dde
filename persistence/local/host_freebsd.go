package local

import (
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// BootID is another one after each boot of this host. It is the kernel's random
// one, which FreeBSD 13 and newer have: kern.boottime moves whenever the clock
// is set, and a boot that seems to be another one would count the VMs of this
// one as stopped.
func BootID() (string, error) {
	id, err := unix.SysctlRaw("kern.boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: sysctl kern.boot_id: %w", err)
	}
	return hex.EncodeToString(id), nil
}

// hardwareID is the host's; "" is none.
func hardwareID() string {
	id, err := unix.Sysctl("kern.hostuuid")
	if err != nil {
		return ""
	}
	return usable(strings.ToLower(strings.TrimSpace(id)))
}

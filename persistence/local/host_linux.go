package local

import (
	"fmt"
	"os"
	"strings"
)

// BootID is another one after each boot of this host.
func BootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// hardwareID is the board's, or else the installation's; "" is none.
func hardwareID() string {
	for _, path := range []string{"/sys/class/dmi/id/product_uuid", "/etc/machine-id"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if id := usable(strings.ToLower(strings.TrimSpace(string(data)))); id != "" {
			return id
		}
	}
	return ""
}

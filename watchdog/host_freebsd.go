package watchdog

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ThisHost says what matters of the machine.
func ThisHost() Host { return lookAt(unix.Sysctl) }

// lookAt asks the kernel. What it does not answer counts against the host.
func lookAt(sysctl func(name string) (string, error)) Host {
	var h Host
	switch guest, err := sysctl("kern.vm_guest"); {
	case err != nil:
		h.Guest = fmt.Sprintf("kern.vm_guest: %v", err)
	case guest != "none":
		h.Guest = guest
	}
	// A server without ACPI sleep states has no such name.
	if states, err := sysctl("hw.acpi.supported_sleep_state"); err == nil && states != "" && states != "NONE" {
		if button, err := sysctl("hw.acpi.sleep_button_state"); err != nil || button != "NONE" {
			h.Suspends = fmt.Sprintf("it supports %s, and hw.acpi.sleep_button_state is %q: set it to NONE", states, button)
		}
	}
	return h
}

package watchdog

// The kernel's log, of which a console, netconsole and pstore show what is critical.
const (
	consolePath   = "/dev/kmsg"
	consolePrefix = "<2>"
)

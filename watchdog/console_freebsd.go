package watchdog

const (
	consolePath   = "/dev/console"
	consolePrefix = ""
)

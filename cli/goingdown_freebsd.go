package cli

import "os"

// noLogins is what shutdown(8) makes before the host goes down, and boot removes.
const noLogins = "/var/run/nologin"

// goingDown says whether this host is being shut down.
func goingDown() bool {
	_, err := os.Stat(noLogins)
	return err == nil
}

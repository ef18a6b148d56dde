package watchdog

// holdSignals does nothing here: a TERM within the moment that a program takes to begin
// ends the watchdog, and the device counts on.
func holdSignals() (restore func()) { return func() {} }

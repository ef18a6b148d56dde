package watchdog

import "time"

// Device is an open watchdog of the kernel: it counts, and ends the host when it was not
// petted for its timeout.
type Device interface {
	// Pet begins the count anew; false if that failed. It allocates nothing.
	Pet() bool
	// SetTimeout gives the timeout that the device answers, which may be another.
	SetTimeout(d time.Duration) (time.Duration, error)
	// Disarm ends the count and closes the device. After an error it is open, and counts
	// on.
	Disarm() error
	Info() Info
	// FD is its open descriptor, for the program that replaces this one.
	FD() int
}

// Info is what a device says of itself.
type Info struct {
	Path     string        `json:"path"`
	Identity string        `json:"identity"`
	Timeout  time.Duration `json:"timeout"`  // as it answered
	Software bool          `json:"software"` // a timer of the kernel: a hard lockup stops it too
	NoWayOut bool          `json:"no_way_out"`
	// CloseStops: whatever closes it stops it, the death of this process too.
	CloseStops bool `json:"close_stops"`
}

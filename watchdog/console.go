package watchdog

import (
	"io"

	"golang.org/x/sys/unix"
)

// console is the kernel's, open for as long as the process lives.
type console int

// OpenConsole opens what shows a text on the host's console, and does not wait for it.
func OpenConsole() (io.Writer, error) {
	fd, err := unix.Open(consolePath, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return console(fd), nil
}

// Write implements io.Writer: one call, one message.
func (c console) Write(data []byte) (int, error) { return unix.Write(int(c), data) }

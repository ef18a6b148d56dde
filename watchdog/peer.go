package watchdog

import "net"

// peer is the user at the other end of a connection.
func peer(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) { uid, err = owner(int(fd)) })
	if cerr != nil {
		return 0, cerr
	}
	return uid, err
}

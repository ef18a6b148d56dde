package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen takes the address. anyPort: nobody insists on its port, so that where
// it is in use a free one of the same host is taken.
func Listen(ctx context.Context, addr string, anyPort bool) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil || !anyPort || !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	host, _, splitErr := net.SplitHostPort(addr)
	if splitErr != nil {
		return nil, err
	}
	l, freeErr := lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if freeErr != nil {
		return nil, fmt.Errorf("%w, and no other port: %w", err, freeErr)
	}
	return l, nil
}

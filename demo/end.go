package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hoster-ha/hoster-ha/demo/vm"
)

const (
	leaving  = 20 * time.Second // for daemons to leave in order
	hurried  = 3 * time.Second  // the same after a failure or a signal
	vanished = 20 * time.Second // for commands of killed daemons to end
)

// end ends every process, and waits for the short-lived ones that daemons left
// behind. It has to be done whatever has become of the context.
func (d *demo) end(ctx context.Context, orderly bool) error {
	d.out.leave()
	wait := hurried
	if orderly {
		wait = leaving
		d.out.head("the end: all daemons are told to stop")
	}
	var daemons, replicators []*child
	for _, h := range d.hosts {
		h.absent = true
		daemons, replicators = append(daemons, h.daemon), append(replicators, h.replicator)
	}
	err := errors.Join(d.endAll(daemons, wait), d.endAll(replicators, hurried))
	err = errors.Join(err, vm.EndAll(d.vmRoot())) //nolint:contextcheck // it has a bound of its own
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for began := time.Now(); ; <-t.C {
		left, lookErr := processes(context.WithoutCancel(ctx), d.exe, d.root)
		switch {
		case lookErr != nil:
			return errors.Join(err, lookErr)
		case len(left) == 0:
			return err
		case time.Since(began) > vanished:
			return errors.Join(err, fmt.Errorf("demo: still running: %s", strings.Join(left, "; ")))
		}
	}
}

// endAll asks all to end, at once, and kills those that have not after the wait.
func (d *demo) endAll(children []*child, wait time.Duration) error {
	var all sync.WaitGroup
	failed := make([]error, len(children))
	for i, c := range children {
		if !c.alive() {
			continue
		}
		all.Go(func() {
			failed[i] = c.signal(syscall.SIGTERM)
			if !c.ended(wait) {
				failed[i] = c.kill()
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// remove takes the folder away and looks whether anything remains.
func (d *demo) remove(ctx context.Context) error {
	if d.root == "" {
		return nil
	}
	err := os.RemoveAll(d.root)
	if _, statErr := os.Lstat(d.root); err == nil && !errors.Is(statErr, os.ErrNotExist) {
		err = fmt.Errorf("demo: %s remains", d.root)
	}
	if d.watch == nil {
		return err
	}
	for address := range d.watch.urls {
		if open(ctx, address) {
			err = errors.Join(err, fmt.Errorf("demo: somebody still listens at %s", address))
		}
	}
	return err
}

// open says whether anybody listens at the address.
func open(ctx context.Context, address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

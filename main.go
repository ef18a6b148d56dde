// Command hoster-ha is a safe high-availability cluster for VMs on two or more
// hosts and a shared store.
package main

import (
	"context"
	"os"

	"github.com/hoster-ha/hoster-ha/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

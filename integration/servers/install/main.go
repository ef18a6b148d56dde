// Command install builds the S3 servers that the tests run, unless that was done
// before: make test calls it first, so that no test has to wait for it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hoster-ha/hoster-ha/integration/servers"
)

func main() {
	for _, k := range servers.Kinds {
		program, err := k.Install(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(program)
	}
}

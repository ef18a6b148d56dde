package stores_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/hoster-ha/hoster-ha/integration/servers"
)

// No test may leave a goroutine behind.
func TestMain(m *testing.M) {
	for name, value := range servers.Environment() {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// The thread that starts servers lives as long as we do.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hoster-ha/hoster-ha/integration/servers.launches"))
}

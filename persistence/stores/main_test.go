package stores_test

import (
	"testing"

	"github.com/hoster-ha/hoster-ha/integration/servers"
)

// No test may leave a goroutine behind.
func TestMain(m *testing.M) { servers.VerifyMain(m) }

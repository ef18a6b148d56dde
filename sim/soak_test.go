//go:build soak

package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

// The environment of a soak: how long it goes on, and the file that keeps how
// many schedules were run, so that the next one goes on with new seeds.
const (
	soakTime = "HOSTER_HA_SOAK"
	soakFile = "HOSTER_HA_SOAK_FILE"
)

// TestSoak runs random schedules for as long as HOSTER_HA_SOAK says. It stops at
// the first failure; the schedules before it are counted.
func TestSoak(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv(soakTime))
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(lasts)
	const step = 500 // schedules between two notes in the file
	for done := soaked(t); time.Now().Before(end) && !t.Failed(); {
		t.Run(fmt.Sprintf("from-%d", done+1), func(t *testing.T) {
			c := many(t, done+1, func(c *total) bool { return c.begun < step && time.Now().Before(end) })
			done += uint64(c.schedules)
		})
		if !t.Failed() {
			keep(t, done)
			fmt.Printf("soak: %d schedules without a violation\n", done)
		}
	}
}

// soaked is how many schedules earlier soaks of this very program have run: what
// another build has survived says nothing of it.
func soaked(t *testing.T) uint64 {
	t.Helper()
	name := os.Getenv(soakFile)
	data, err := os.ReadFile(name)
	if name == "" || os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	var n uint64
	var of string
	if _, err := fmt.Sscan(string(data), &n, &of); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if of != build(t) {
		t.Logf("%d schedules were run of another build: the count begins anew", n)
		return 0
	}
	return n
}

// build names the program by its bytes.
func build(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func keep(t *testing.T, n uint64) {
	t.Helper()
	if name := os.Getenv(soakFile); name != "" {
		if err := os.WriteFile(name, fmt.Appendln(nil, n, build(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

package stores_test

import (
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/hoster-ha/hoster-ha/integration/servers"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
	"github.com/hoster-ha/hoster-ha/persistence/storetest"
)

const bucket = "cluster"

// libraries are the ways to a bucket at a host's address, below a prefix.
var libraries = map[string]func(host, prefix string) string{
	"aws":   func(host, prefix string) string { return byAWS(host, bucket, prefix) },
	"minio": func(host, prefix string) string { return byMinIO(host, bucket, prefix) },
}

func byAWS(host, bucket, prefix string) string {
	return fmt.Sprintf("s3://%s/%s?path-style=true&endpoint=%s", bucket, prefix, url.QueryEscape("http://"+host))
}

func byMinIO(host, bucket, prefix string) string {
	return fmt.Sprintf("minio+http://%s/%s/%s", host, bucket, prefix)
}

// opened opens a store that ends with the test.
func opened(t *testing.T, address string) persistence.Store {
	t.Helper()
	s, err := stores.Open(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := persistence.Close(s); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestServers runs the suite of all stores over real servers, by both libraries.
func TestServers(t *testing.T) {
	for _, kind := range servers.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			server := servers.Start(t, kind)
			server.Bucket(t, bucket)
			for name, address := range libraries {
				t.Run(name, func(t *testing.T) {
					storetest.Run(t, opener(t, func(prefix string) string { return address(server.Address, prefix) }))
				})
			}
		})
	}
}

// TestBuckets runs the suite over buckets that keep versions, and that let none be
// deleted.
func TestBuckets(t *testing.T) {
	t.Parallel()
	server := servers.Start(t, servers.MinIO)
	server.VersionedBucket(t, "versioned")
	server.LockedBucket(t, "locked")
	for _, bucket := range []string{"versioned", "locked"} {
		for name, address := range map[string]func(host, bucket, prefix string) string{"aws": byAWS, "minio": byMinIO} {
			t.Run(bucket+"/"+name, func(t *testing.T) {
				t.Parallel()
				storetest.Run(t, opener(t, func(prefix string) string { return address(server.Address, bucket, prefix) }))
			})
		}
	}
}

// opener gives each test a part of the bucket of its own.
func opener(t *testing.T, address func(prefix string) string) func(*testing.T) persistence.Store {
	t.Helper()
	var mu sync.Mutex
	prefixes := map[string]string{}
	at := t.Name()
	return func(t *testing.T) persistence.Store {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if prefixes[t.Name()] == "" {
			prefixes[t.Name()] = fmt.Sprintf("%s/%d/deep", at, len(prefixes))
		}
		return opened(t, address(prefixes[t.Name()]))
	}
}

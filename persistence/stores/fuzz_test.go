package stores_test

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

// FuzzNormalize: each address that is accepted has one form, which names the
// same folder: a node that is started again must not take its own store for
// another, nor another for its own.
func FuzzNormalize(f *testing.F) {
	for _, address := range []string{
		"/mnt/persist", "mnt//a/../b/", "file:///mnt/a%20b%3Fc%23d%25", "FILE://localhost/x", "file:x", "file://host/x", "file:///a?b",
		"s3://bucket", "./s3:x", "a:b", "", "\x00", "file:///%00", "file:////x", "file:///a%2Fb", "/a b%c?d#e", "\xff", "file:///\xff", "file:///%ff",
		"file:///..", "file:///a;b", "file:/x", "file://u@/x",
		"s3://bucket/a/b?region=x&endpoint=http://h:1/x/&path-style=true", "minio://H:9000/bucket/a:b@c+d/", "minio+http://[::1]:9000/bucket",
		"s3://k:s@bucket", "s3://bucket?a=b", "minio://h/bucket?region=%41",
	} {
		f.Add(address)
	}
	f.Chdir("/")
	f.Fuzz(func(t *testing.T, address string) {
		form, err := stores.Normalize(address)
		if err != nil {
			if !errors.Is(err, persistence.ErrRefused) || form != "" {
				t.Errorf("%q: %q, %v", address, form, err)
			}
			return
		}
		if again, err := stores.Normalize(form); again != form || err != nil {
			t.Errorf("%q is %q, which is %q, %v", address, form, again, err)
		}
		u, err := url.Parse(form)
		if err != nil || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q is %q: %+v, %v", address, form, u, err)
		}
		if u.Scheme != "file" {
			return
		}
		if u.Host != "" || !filepath.IsAbs(u.Path) || filepath.Clean(u.Path) != u.Path || strings.ContainsRune(u.Path, 0) {
			t.Fatalf("%q is %q: %+v, %v", address, form, u, err)
		}
		if !strings.HasPrefix(strings.ToLower(address), "file:") {
			if abs, err := filepath.Abs(address); err != nil || abs != u.Path {
				t.Errorf("the path %q is %q", address, u.Path)
			}
		}
	})
}

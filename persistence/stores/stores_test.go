package stores_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

func TestOpen(t *testing.T) {
	root := t.TempDir()
	t.Chdir(filepath.Dir(root))
	for _, address := range []string{root, "file://" + root, "FILE://localhost" + root, filepath.Base(root), "./" + filepath.Base(root) + "/"} {
		s, err := stores.Open(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if err := s.Put(t.Context(), "key", []byte(address)); err != nil {
			t.Error(err)
		}
		data, err := os.ReadFile(filepath.Join(root, "key"))
		if err != nil || strings.TrimSpace(string(data)) != address {
			t.Errorf("%s went elsewhere: %.40q, %v", address, data, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for address, says := range map[string]string{
		"":                                   "empty",
		"ftp://host/path":                    "no store is called ftp",
		"s3:bucket":                          "write s3://BUCKET/PREFIX",
		"s3://":                              "no bucket's name",
		"s3://Bucket":                        "no bucket's name",
		"s3://b":                             "no bucket's name",
		"s3://bucket/a b":                    "the prefix",
		"s3://bucket/a/../b":                 "the prefix",
		"s3://bucket/.a":                     "the prefix",
		"s3://bucket#x":                      "write s3://BUCKET/PREFIX",
		"s3://bucket?style=path":             "no option \"style\" (it has endpoint, path-style, region)",
		"s3://bucket?path-style=1":           "true or false",
		"s3://bucket?endpoint=x":             "http:// or https:// URL",
		"minio://host":                       "no bucket's name",
		"minio:///bucket":                    "no host",
		"minio://host:0/bucket":              "no host",
		"minio://h:99999/bucket":             "no host",
		"minio://h/bucket?endpoint=http://x": "no option",
		"file://host/path":                   "no host",
		"file:path":                          "file:///path",
		"file:///a?b=c":                      "no ?",
		"file:///a%zz":                       "invalid URL escape",
		"/does/not/exist":                    "/does/not/exist does not exist",
		"file:///does/not/exist":             "/does/not/exist does not exist",
		"/proc/version":                      "not a folder",
	} {
		_, err := stores.Open(address)
		if !errors.Is(err, persistence.ErrRefused) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want a refusal in one line with %q", address, err, says)
		}
	}
}

func TestNormalize(t *testing.T) {
	t.Chdir("/")
	for address, want := range map[string]string{
		"/mnt/persist":             "file:///mnt/persist",
		"/mnt//persist/../persist": "file:///mnt/persist",
		"mnt/persist/":             "file:///mnt/persist",
		"file:///mnt/persist/":     "file:///mnt/persist",
		"file:/mnt/persist":        "file:///mnt/persist",
		"/mnt/a b%c?d#e":           "file:///mnt/a%20b%25c%3Fd%23e",
		"./s3:x":                   "file:///s3:x",
		"S3://bucket/":             "s3://bucket",
		"s3://bucket//a/b/?region=eu-north-1&path-style=false":              "s3://bucket/a/b?region=eu-north-1",
		"s3://bucket/p?region=x&endpoint=HTTP://Host:9000/&path-style=true": "s3://bucket/p?endpoint=http%3A%2F%2Fhost%3A9000&path-style=true&region=x",
		"minio://Host:9000/bucket":                                          "minio://host:9000/bucket",
		"minio+http://host/bucket/a/":                                       "minio+http://host/bucket/a",
		"minio://[::1]:9000/bucket/a@b+c:":                                  "minio://[::1]:9000/bucket/a@b+c:",
	} {
		got, err := stores.Normalize(address)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", address, got, err, want)
		}
		if again, err := stores.Normalize(got); again != got || err != nil {
			t.Errorf("%s normalizes to %s, %v", got, again, err)
		}
	}
	if _, err := stores.Normalize("s4://bucket"); !errors.Is(err, persistence.ErrRefused) {
		t.Errorf("%v, want ErrRefused", err)
	}
	t.Setenv("AWS_REGION", "")
	if _, err := stores.Open("s3://bucket"); !errors.Is(err, persistence.ErrRefused) || !strings.Contains(err.Error(), "no region is known") {
		t.Errorf("%v, want to be asked for a region", err)
	}
}

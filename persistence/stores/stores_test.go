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
		"":                         "empty",
		"s3://bucket/prefix":       "folders only",
		"minio://host/bucket":      "folders only",
		"minio+http://host/bucket": "folders only",
		"file://host/path":         "no host",
		"file:path":                "file:///path",
		"file:///a?b=c":            "no ?",
		"file:///a%zz":             "invalid URL escape",
		"/does/not/exist":          "/does/not/exist does not exist",
		"file:///does/not/exist":   "/does/not/exist does not exist",
		"/proc/version":            "not a folder",
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
	} {
		got, err := stores.Normalize(address)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", address, got, err, want)
		}
		if again, err := stores.Normalize(got); again != got || err != nil {
			t.Errorf("%s normalizes to %s, %v", got, again, err)
		}
	}
	if _, err := stores.Normalize("s3://bucket"); !errors.Is(err, persistence.ErrRefused) {
		t.Errorf("%v, want ErrRefused", err)
	}
}

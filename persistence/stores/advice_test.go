package stores_test

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/integration/servers"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/stores"
)

// TestAdvice: what an operator has to mend is one line that says how.
func TestAdvice(t *testing.T) {
	server := servers.Start(t, servers.MinIO)
	server.Bucket(t, bucket)
	tls := httptest.NewUnstartedServer(nil)
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	web := httptest.NewServer(nil) // 404 to all
	defer web.Close()
	host := func(u string) string { return strings.TrimPrefix(strings.TrimPrefix(u, "https://"), "http://") }
	for _, c := range []struct{ address, says string }{
		{"minio+http://" + server.Address + "/no-such-bucket", "the bucket no-such-bucket does not exist"},
		{"s3://no-such-bucket?path-style=true&endpoint=http://" + server.Address, "the bucket no-such-bucket does not exist"},
		{"minio://" + host(tls.URL) + "/bucket", "certificate does not verify"},
		{"s3://bucket?path-style=true&endpoint=" + tls.URL, "certificate does not verify"},
		{"minio://" + server.Address + "/bucket", "does not speak TLS"},
		{"s3://bucket?path-style=true&endpoint=https://" + server.Address, "does not speak TLS"},
		{"minio+http://" + host(web.URL) + "/bucket", "does not answer like an S3 server"},
		{"s3://bucket?path-style=true&endpoint=" + web.URL, "does not answer like an S3 server"},
	} {
		s := opened(t, c.address)
		_, get := s.Get(t.Context(), "cluster.json")
		_, list := s.List(t.Context(), "")
		for _, err := range []error{get, list, s.Create(t.Context(), "k", []byte("v")), persistence.Prove(t.Context(), s)} {
			if outcome(err) != "refused" || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want one line with %q", c.address, err, c.says)
			}
		}
	}
}

// TestCredentials: wrong ones are refused, and new ones are picked up without a
// restart.
func TestCredentials(t *testing.T) {
	server := servers.Start(t, servers.MinIO)
	server.Bucket(t, bucket)
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(access, secret string) {
		t.Helper()
		text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name := range servers.Environment() {
		if strings.Contains(name, "KEY") || strings.HasPrefix(name, "MINIO") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	for name, address := range libraries {
		write(servers.AccessKey, "wrong-secret-key")
		s := opened(t, address(server.Address, name))
		for _, wrong := range []string{"wrong-secret-key", "another-wrong-key"} {
			err := s.Put(t.Context(), "key", []byte("v"))
			if outcome(err) != "refused" || !strings.Contains(err.Error(), "the credentials are not accepted") || strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, want a refusal that tells no secret", name, err)
			}
			write(servers.AccessKey, "another-wrong-key")
		}
		write(servers.AccessKey, servers.SecretKey)
		// The first answer brings the new ones in.
		if err := s.Put(t.Context(), "key", []byte("v")); err != nil && outcome(err) != "refused" {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Put(t.Context(), "key", []byte("v")); err != nil {
			t.Errorf("%s: with the right ones: %v", name, err)
		}
	}
}

// TestSecretsAreNotShown: an address with a secret in it is refused without quoting
// the secret.
func TestSecretsAreNotShown(t *testing.T) {
	for _, address := range []string{
		"s3://AKIAKEY:hunter2@bucket/prefix", "minio://key:hunter2@host:9000/bucket", "minio+http://hunter2@host/bucket",
		"s3://bucket/prefix?secret-key=hunter2", "s3://bucket?endpoint=" + url.QueryEscape("http://key:hunter2@host"), "s3://bucket?region=hunter2%20x",
		"s3://key:hunter2%zz@bucket/x", "minio://key:hun@ter2@host:9000/bucket", "s3://bucket?endpoint=hunter2&endpoint=hunter2", "s3://bucket?hunter2;%zz",
	} {
		_, err := stores.Open(address)
		if outcome(err) != "refused" || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2@") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
	}
}

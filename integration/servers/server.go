package servers

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"
)

// Server is one that runs, or can run again at the same address over the same data
// (gofakes3 keeps its data in memory).
type Server struct {
	Kind    Kind
	Address string // host:port
	dir     string
	program string
	said    *tail
	cmd     *exec.Cmd
	done    chan struct{}
}

// patience is how long a server may take to answer for the first time.
const patience = time.Minute

// Start installs and starts a server that ends with the test.
func Start(tb testing.TB, k Kind) *Server {
	tb.Helper()
	program, err := k.Install(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Kind: k, Address: freeAddress(tb), dir: tb.TempDir(), program: program, said: &tail{}}
	for _, sub := range []string{"meta", "data"} {
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		s.Kill()
		if tb.Failed() {
			tb.Logf("%s said at last:\n%s", k.Name, s.said.String())
		}
	})
	s.Run(tb)
	return s
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Run starts it, again after Kill, and waits until it answers.
func (s *Server) Run(tb testing.TB) {
	tb.Helper()
	s.cmd = exec.CommandContext(context.Background(), s.program, s.Kind.args(s.Address, s.dir)...)
	s.cmd.Env = append(os.Environ(), s.Kind.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	if err := start(s.cmd); err != nil {
		tb.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // it is killed
		close(s.done)
	}()
	c := s.client(tb)
	end := time.After(patience)
	for {
		_, err := c.ListBuckets(tb.Context())
		if err == nil {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.done:
			tb.Fatalf("%s ended: %s", s.Kind.Name, s.said.String())
		case <-end:
			tb.Fatalf("%s does not answer: %v\n%s", s.Kind.Name, err, s.said.String())
		}
	}
}

// PID is its process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends it at once and waits for its end.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Freeze lets it stand still: connections are taken, and nothing is answered.
func (s *Server) Freeze(tb testing.TB) {
	tb.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
}

// Thaw lets it go on.
func (s *Server) Thaw(tb testing.TB) {
	tb.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		tb.Fatal(err)
	}
}

// Bucket makes a bucket.
func (s *Server) Bucket(tb testing.TB, name string) {
	tb.Helper()
	if err := s.client(tb).MakeBucket(tb.Context(), name, minio.MakeBucketOptions{}); err != nil {
		tb.Fatal(err)
	}
}

// VersionedBucket makes a bucket that keeps all versions of its objects.
func (s *Server) VersionedBucket(tb testing.TB, name string) {
	tb.Helper()
	s.Bucket(tb, name)
	if err := s.client(tb).EnableVersioning(tb.Context(), name); err != nil {
		tb.Fatal(err)
	}
}

// LockedBucket makes a bucket from which nobody can delete a version for a day.
func (s *Server) LockedBucket(tb testing.TB, name string) {
	tb.Helper()
	if err := s.client(tb).MakeBucket(tb.Context(), name, minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		tb.Fatal(err)
	}
	mode, days, unit := minio.Compliance, uint(1), minio.Days
	if err := s.client(tb).SetBucketObjectLockConfig(tb.Context(), name, &mode, &days, &unit); err != nil {
		tb.Fatal(err)
	}
}

// Session gives credentials that may do what a policy allows.
func (s *Server) Session(tb testing.TB, policy string) (access, secret, token string) {
	tb.Helper()
	role, err := credentials.NewSTSAssumeRole("http://"+s.Address, credentials.STSAssumeRoleOptions{
		AccessKey: AccessKey, SecretKey: SecretKey, Policy: policy, DurationSeconds: 3600,
	})
	if err != nil {
		tb.Fatal(err)
	}
	t := &http.Transport{DisableKeepAlives: true}
	v, err := role.GetWithContext(&credentials.CredContext{Client: &http.Client{Transport: t}, Endpoint: "http://" + s.Address})
	if err != nil {
		tb.Fatal(err)
	}
	return v.AccessKeyID, v.SecretAccessKey, v.SessionToken
}

// Client is an administrator's way to it.
func (s *Server) client(tb testing.TB) *minio.Client {
	tb.Helper()
	t, err := minio.DefaultTransport(false)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.CloseIdleConnections)
	c, err := minio.New(s.Address, &minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Transport: t, Region: "us-east-1", MaxRetries: 1,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Environment is what a process needs to be let in, by either library.
func Environment() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true", "MINIO_ROOT_USER": AccessKey, "MINIO_ROOT_PASSWORD": SecretKey,
	}
}

// VerifyMain runs a package's tests with access to the servers, and sees that they leave
// nothing behind.
func VerifyMain(m *testing.M, options ...goleak.Option) {
	for name, value := range Environment() {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// The thread that starts servers lives as long as we do.
	goleak.VerifyTestMain(m, append(options, goleak.IgnoreAnyFunction("github.com/hoster-ha/hoster-ha/integration/servers.launches"))...)
}

// tail keeps the end of what a server says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 16 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > most {
		t.text = bytes.Clone(t.text[len(t.text)-most:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

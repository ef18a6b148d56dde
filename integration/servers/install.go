package servers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/gofrs/flock"
)

// A Kind is a server program.
type Kind struct {
	Name    string // of its program
	Package string // its main package
	Version string
	args    func(address, dir string) []string
	env     []string
}

// The keys of all servers here: they are for tests on loopback.
const (
	AccessKey = "test-access-key"
	SecretKey = "test-secret-key"
)

// The kinds there are.
var (
	MinIO = Kind{
		Name: "minio", Package: "github.com/minio/minio", Version: "v0.0.0-20260212201848-7aac2a2c5b7c",
		args: func(address, dir string) []string { return []string{"server", "--quiet", "--address", address, dir} },
		env: []string{
			"MINIO_ROOT_USER=" + AccessKey, "MINIO_ROOT_PASSWORD=" + SecretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off",
		},
	}
	VersityGW = Kind{
		Name: "versitygw", Package: "github.com/versity/versitygw/cmd/versitygw", Version: "v1.8.0",
		args: func(address, dir string) []string {
			return []string{"--port", address, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data")}
		},
		env: []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey},
	}
	GoFakeS3 = Kind{
		Name: "gofakes3", Package: "github.com/johannesboyne/gofakes3/cmd/gofakes3", Version: "v1.2.0",
		args: func(address, _ string) []string { return []string{"-quiet", "-backend", "memory", "-host", address} },
	}
	Kinds = []Kind{MinIO, VersityGW, GoFakeS3}
)

// Install gives the path of the server's program, built now if it was not before.
func (k Kind) Install(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "hoster-ha", "servers", k.Name+"@"+k.Version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	program := filepath.Join(dir, path.Base(k.Package))
	lock := flock.New(filepath.Join(dir, "lock")) // test processes run side by side
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer func() { _ = lock.Unlock() }()
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	build, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(build)
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", k.Package+"@"+k.Version)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+build, "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=")
	cmd.Dir = build
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s@%s: %w\n%s", k.Package, k.Version, err, said.Bytes())
	}
	return program, os.Rename(filepath.Join(build, filepath.Base(program)), program)
}

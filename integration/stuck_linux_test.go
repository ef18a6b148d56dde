package integration

import (
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// mountName is what every mount point of a stuck folder is called, so that the janitor
// finds them.
const mountName = "mount"

// stuckFolder is a real file system over a folder that can stop answering, as one on a
// server does that was switched off: who asks it waits in the kernel until it answers
// again or the process ends. It is a FUSE file system of this process, which must not
// ask it itself meanwhile.
type stuckFolder struct {
	fuse.RawFileSystem
	path, behind string

	mu   sync.Mutex
	open chan struct{} // closed: it answers
}

func newStuckFolder(tb testing.TB) *stuckFolder {
	tb.Helper()
	dir := tb.TempDir()
	s := &stuckFolder{path: filepath.Join(dir, mountName), behind: filepath.Join(dir, "behind"), open: make(chan struct{})}
	close(s.open)
	for _, path := range []string{s.path, s.behind} {
		if err := syscall.Mkdir(path, 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	root, err := fs.NewLoopbackRoot(s.behind)
	if err != nil {
		tb.Fatal(err)
	}
	s.RawFileSystem = fs.NewNodeFS(root, &fs.Options{})
	server, err := fuse.NewServer(s, s.path, &fuse.MountOptions{DirectMount: true, FsName: "stuck", Name: "stuck"})
	if err != nil {
		tb.Fatalf("a FUSE file system cannot be mounted (as another user than root that wants Debian's fuse3): %v", err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve()
	}()
	tb.Cleanup(func() {
		s.answer()
		if err := server.Unmount(); err != nil {
			tb.Error(err)
			_ = syscall.Unmount(s.path, syscall.MNT_DETACH)
		}
		<-served
	})
	if err := server.WaitMount(); err != nil {
		tb.Fatal(err)
	}
	return s
}

// hang: from now on nothing is answered.
func (s *stuckFolder) hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = make(chan struct{})
}

// answer answers all, also what has waited.
func (s *stuckFolder) answer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.open:
	default:
		close(s.open)
	}
}

// wait holds a call while the folder hangs. One whose process ends is given up, as the
// kernel's NFS client does.
func (s *stuckFolder) wait(cancel <-chan struct{}) fuse.Status {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	select {
	case <-open:
		return fuse.OK
	case <-cancel:
		return fuse.EINTR
	}
}

func (s *stuckFolder) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if st := s.wait(cancel); st != fuse.OK {
		return st
	}
	return s.RawFileSystem.Lookup(cancel, h, name, out)
}

func (s *stuckFolder) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if st := s.wait(cancel); st != fuse.OK {
		return st
	}
	return s.RawFileSystem.GetAttr(cancel, in, out)
}

func (s *stuckFolder) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if st := s.wait(cancel); st != fuse.OK {
		return st
	}
	return s.RawFileSystem.Open(cancel, in, out)
}

func (s *stuckFolder) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if st := s.wait(cancel); st != fuse.OK {
		return st
	}
	return s.RawFileSystem.Create(cancel, in, name, out)
}

func (s *stuckFolder) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	if st := s.wait(cancel); st != fuse.OK {
		return nil, st
	}
	return s.RawFileSystem.Read(cancel, in, buf)
}

func (s *stuckFolder) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if st := s.wait(cancel); st != fuse.OK {
		return 0, st
	}
	return s.RawFileSystem.Write(cancel, in, data)
}

func (s *stuckFolder) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if st := s.wait(cancel); st != fuse.OK {
		return st
	}
	return s.RawFileSystem.Fsync(cancel, in)
}

func (s *stuckFolder) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if st := s.wait(cancel); st != fuse.OK {
		return st
	}
	return s.RawFileSystem.OpenDir(cancel, in, out)
}

func (s *stuckFolder) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if st := s.wait(cancel); st != fuse.OK {
		return st
	}
	return s.RawFileSystem.ReadDirPlus(cancel, in, out)
}

func init() { janitors = append(janitors, unmountAll) }

// unmountAll unmounts what a process that was killed has left below a folder.
func unmountAll(dir string) {
	mounts, _ := filepath.Glob(filepath.Join(dir, "*", "*", mountName))
	for _, m := range mounts {
		_ = syscall.Unmount(m, syscall.MNT_DETACH)
	}
}

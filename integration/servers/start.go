package servers

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// starts are handed to one thread that lives as long as this process: the kernel
// kills a child with Pdeathsig when the thread that made it ends.
var starts = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go launches(c)
	return c
})

func launches(c <-chan func()) {
	runtime.LockOSThread()
	for start := range c {
		start()
	}
}

// start starts a program that dies with this process.
func start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starts() <- func() { started <- cmd.Start() }
	return <-started
}

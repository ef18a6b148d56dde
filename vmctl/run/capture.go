package run

import (
	"io"
	"os"
	"sync"
)

// capture reads a pipe to its end and keeps the beginning.
type capture struct {
	pipe *os.File
	max  int
	done chan struct{} // closed at the end of the pipe

	mu   sync.Mutex
	kept []byte
	cut  bool
}

func newCapture(pipe *os.File, keep int) *capture {
	return &capture{pipe: pipe, max: keep, done: make(chan struct{})}
}

func (c *capture) drain() {
	defer close(c.done)
	defer func() { _ = c.pipe.Close() }()
	_, _ = io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c.pipe}, make([]byte, 32<<10))
}

// Write never fails: what does not fit is dropped.
func (c *capture) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(b), c.max-len(c.kept))
	c.kept = append(c.kept, b[:n]...)
	c.cut = c.cut || n < len(b)
	return len(b), nil
}

// text is what has been kept, whether more came, and whether more may come.
func (c *capture) text() (kept string, cut, open bool) {
	select {
	case <-c.done:
	default:
		open = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.kept), c.cut, open
}

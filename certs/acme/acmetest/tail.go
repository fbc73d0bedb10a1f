package acmetest

import (
	"bytes"
	"slices"
	"sync"
)

// tail keeps the end of what is written.
type tail struct {
	mu  sync.Mutex
	end []byte
}

// tailSize is how much it keeps.
const tailSize = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if more := len(t.end) - tailSize; more > tailSize {
		t.end = slices.Delete(t.end, 0, more)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.end)
}

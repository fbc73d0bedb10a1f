package certstest

import (
	"bytes"
	"strings"
	"sync"
)

// A Logbook keeps what is logged, for a [slog.Handler] to write to. It may be used by many goroutines at once.
type Logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count says how often a text is in it.
func (l *Logbook) Count(text string) int { return strings.Count(l.String(), text) }

package servertest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Logbook keeps what is logged, for tests to search. Its zero value is ready. It may be used by many goroutines at once.
type Logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Logger writes to the logbook what is at this level or above.
func (l *Logbook) Logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
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

// Count gives the number of lines that contain a text.
func (l *Logbook) Count(text string) int {
	n := 0
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// Await waits until a line contains a text.
func (l *Logbook) Await(t testing.TB, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return l.Count(text) > 0 }, Patience, Step, "log: %s", text)
}

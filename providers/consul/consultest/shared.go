package consultest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is one agent for the tests of a package. It starts when the first test asks for it, and ends after the last, in
// [Shared.Run]. The zero value is ready.
type Shared struct {
	Options Options

	mu     sync.Mutex
	dir    string
	server *server
}

// Run runs the tests of a package, ends the agent, and gives the exit code. TestMain calls it.
func (s *Shared) Run(m *testing.M) int {
	defer s.end()
	return m.Run()
}

// Agent gives the agent to a test, which leaves it running and in good order: others use it too, at the same time where
// tests are parallel. It may be called by several goroutines.
func (s *Shared) Agent(tb testing.TB) *Agent {
	tb.Helper()
	binary := Binary(tb)
	server, err := s.started(binary)
	if err != nil {
		tb.Fatal(err)
	}
	begin := server.logSize()
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the log of the shared Consul since this test asked for it ends so:\n%s", server.logFrom(begin))
		}
	})
	return (&Agent{tb: tb, server: server}).filled()
}

func (s *Shared) started(binary string) (*server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		if !s.server.answering() {
			return nil, errors.New("a test has left the shared Consul stopped or frozen")
		}
		return s.server, nil
	}
	dir, err := os.MkdirTemp("", "consultest-")
	if err != nil {
		return nil, fmt.Errorf("start the shared Consul: %w", err)
	}
	mode := inMemory
	if s.Options.Persistent {
		mode = onDisk
	}
	server := newServer(binary, dir, mode, s.Options)
	if err := server.start(); err != nil {
		server.stop()
		err = fmt.Errorf("%w; its log:\n%s", err, server.logFrom(0))
		_ = os.RemoveAll(dir)
		return nil, err
	}
	s.dir, s.server = dir, server
	return server, nil
}

func (s *Shared) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return
	}
	s.server.stop()
	s.server.close()
	_ = os.RemoveAll(s.dir) // what is left of it harms nobody
	s.server = nil
}

// Package h2conformance asks of an entrypoint's HTTP/2 what RFC 9113 and HPACK (RFC 7541) ask of a server, over TLS and
// frame by frame: the cases that the conformance tool h2spec made usual, the floods that servers on the internet meet,
// and the requests that another server behind this one could read differently. It uses the entrypoint from outside only.
//
// h2spec follows RFC 7540. Where RFC 9113, which took its place, asks something else, so do the tests, and say so.
package h2conformance

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// patience is what no test waits for unless it fails; waitStep is how often it looks meanwhile.
const (
	patience = servertest.Patience
	waitStep = servertest.Step
)

// greeting is the body of an answer, and long enough for the cases about windows of a few bytes.
const greeting = "bonjour"

// What the handler does besides, by path.
const (
	waits    = "/waits"    // until the stream ends
	stubborn = "/stubborn" // until released, whatever becomes of the stream
	endless  = "/endless"  // writes until that fails
)

// server is an entrypoint whose handler notes what reaches it.
type server struct {
	*entrypoint.Entrypoint
	released chan struct{}
	written  atomic.Int64 // bytes of all endless answers that were taken from the handler
	running  atomic.Int64 // stubborn and endless handlers

	dialled atomic.Int64 // connections

	log servertest.Logbook // of what the entrypoint logs at warn and above

	mu    sync.Mutex
	calls map[string][]*call // by the name that the connection asked for, which each has of its own
}

// call is a request that reached the handler.
type call struct {
	method, host, target string
	contentLength        int64
	header, trailer      http.Header
	body                 string
	bodyError            error // of reading the body to its end
}

func serve(t *testing.T, change ...func(*entrypoint.Options)) *server {
	t.Helper()
	s := &server{released: make(chan struct{}), calls: make(map[string][]*call)}
	options := entrypoint.Options{
		Name:              "https",
		Addr:              "127.0.0.1:0",
		Handler:           s,
		TLS:               servertest.ServerTLS(t),
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       time.Minute,
		HandshakeTimeout:  time.Minute,
		ProgressTimeout:   time.Minute,
		Log:               s.log.Logger(slog.LevelWarn),
	}
	for _, f := range change {
		f(&options)
	}
	var err error
	s.Entrypoint, err = entrypoint.Listen(options)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		_ = s.Close()
		assert.NoError(t, <-served)
		// Nothing that a client does is worth a warning, let alone a panic.
		assert.Empty(t, s.log.String())
	})
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{
		method: r.Method, host: r.Host, target: r.RequestURI, contentLength: r.ContentLength,
		header: r.Header.Clone(),
	}
	s.mu.Lock()
	s.calls[r.TLS.ServerName] = append(s.calls[r.TLS.ServerName], c)
	s.mu.Unlock()
	switch r.URL.Path {
	case waits:
		<-r.Context().Done()
		return
	case stubborn:
		s.running.Add(1)
		defer s.running.Add(-1)
		<-s.released
		return
	case endless:
		s.running.Add(1)
		defer s.running.Add(-1)
		for kilobyte := []byte(strings.Repeat("x", 1<<10)); ; {
			n, err := w.Write(kilobyte)
			s.written.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	c.body, c.bodyError, c.trailer = string(body), err, r.Trailer.Clone()
	s.mu.Unlock()
	_, _ = io.WriteString(w, greeting)
}

// callsOn gives the requests of one connection that have reached the handler.
func (s *server) callsOn(c *conn) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var calls []call
	for _, each := range s.calls[c.name] {
		calls = append(calls, *each)
	}
	return calls
}

// requireServesOthers makes sure that another connection gets its answer.
func (s *server) requireServesOthers(t *testing.T) {
	t.Helper()
	c := s.dial(t)
	c.send(get(1))
	c.await(answered(1))
}

package certs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tricot-proxy/tricot/certs"
)

// An endpoint is asked about names. It is a server's handler, and in bubbles, where no time passes while a socket is
// read, the transport itself.
type endpoint struct {
	mu      sync.Mutex
	answer  func(ctx context.Context, name string) int // the status; nil: 200
	asked   []string                                   // names
	queries []string
	at      []time.Time
	running int
	most    int // at once
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("domain")
	e.mu.Lock()
	e.asked, e.queries, e.at = append(e.asked, name), append(e.queries, r.URL.RawQuery), append(e.at, time.Now())
	e.running++
	e.most = max(e.most, e.running)
	answer := e.answer
	e.mu.Unlock()
	status := http.StatusOK
	if answer != nil {
		status = answer(r.Context(), name)
	}
	e.mu.Lock()
	e.running--
	e.mu.Unlock()
	if status == http.StatusFound {
		w.Header().Set("Location", "/login")
	}
	w.WriteHeader(status)
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (e *endpoint) on(answer func(ctx context.Context, name string) int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

// names gives what it was asked about.
func (e *endpoint) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

// always answers with a status.
func always(status int) func(context.Context, string) int {
	return func(context.Context, string) int { return status }
}

// listen makes the endpoint a server, and gives its URL.
func (e *endpoint) listen(t testing.TB) string {
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server.URL
}

// simulated are the options and the wildcard for a bubble.
func (p *place) simulated(e *endpoint) (certs.Options, certs.Wanted) {
	return certs.Options{AskTransport: e}, certs.Wanted{Host: "*.example.com", Ask: "http://ask.test/"}
}

package acmetest

import (
	"net"
	"net/http"
	"net/http/httputil"

	"github.com/stretchr/testify/require"
)

// Answer says who answers the requests by which challenges are validated, where the server listens for them itself: the
// port 80 of all names. Nil, as at the start: connections are closed without an answer.
func (s *Server) Answer(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = h
}

// Forward is a handler for [Server.Answer]: it sends each request on to the host and port that pick gives for it.
func Forward(pick func(*http.Request) string) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme = "http"
		r.Out.URL.Host = pick(r.In)
		r.Out.Host = r.In.Host
	}}
}

func (s *Server) listenForValidation() (port int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	server := &http.Server{Handler: http.HandlerFunc(s.validate)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	s.t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return listener.Addr().(*net.TCPAddr).Port
}

func (s *Server) validate(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	s.mu.Lock()
	s.validations[host]++
	answer := s.answer
	s.mu.Unlock()
	if answer == nil {
		panic(http.ErrAbortHandler)
	}
	answer.ServeHTTP(w, r)
}

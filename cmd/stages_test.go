package cmd

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/providers"
)

// newChain builds the pipeline with settings given as flags, in front of one backend.
func newChain(t *testing.T, backend net.Addr, word string, flags ...string) http.Handler {
	t.Helper()
	schema, err := settings.New()
	require.NoError(t, err)
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	schema.Flags(set)
	require.NoError(t, set.Parse(append(flags, "--middleware-redirect-enabled=false", "--middleware-access-log-path=stderr")))
	s, _ := schema.Load(set, nil) // where services come from is not asked here
	log := slog.New(slog.DiscardHandler)
	router := route.NewRouter(route.Options{})
	host, port, err := net.SplitHostPort(backend.String())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	router.Apply([]providers.Instance{{ID: "a", Service: "a", Address: host, Port: number, Healthy: true, Tags: []string{word + " example.com"}}})
	plans, err := chosen(s, nil)
	require.NoError(t, err)
	with, err := equip(s, log)
	require.NoError(t, err)
	t.Cleanup(func() { with.close(log) })
	handler, err := chain(plans, surroundings{settings: s, log: log, router: router, equipment: with})
	require.NoError(t, err)
	return handler
}

func ask(handler http.Handler) *http.Response {
	request := httptest.NewRequest("GET", "http://example.com/", nil)
	request.Header.Set("Accept-Encoding", "gzip")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Result()
}

func TestStages_CompressAsTheSettingsSay(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/own")
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	}))
	defer backend.Close()
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--compress-mime-types=text/own", "--middleware-compress-min-length=100"}, "gzip"},
		{[]string{"--compress-mime-types=text/own", "--middleware-compress-min-length=101"}, ""},
		{[]string{"--compress-mime-types=text/other", "--middleware-compress-min-length=1"}, ""},
	} {
		response := ask(newChain(t, backend.Listener.Addr(), "tricot", append(c.flags, "--enable-compression")...))
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, c.want, response.Header.Get("Content-Encoding"), "%q", c.flags)
	}
}

// The defaults of these time-outs are far longer than the test waits.
func TestStages_WaitForABackendAsLongAsTheSettingsSay(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connections wait in its queue
	require.NoError(t, err)
	defer silent.Close()
	for _, c := range []struct{ word, flag string }{
		{"tricot-https", "--middleware-transport-connect-timeout=20ms"},
		{"tricot", "--middleware-transport-response-header-timeout=20ms"},
	} {
		handler := newChain(t, silent.Addr(), c.word, c.flag)
		answered := make(chan int, 1)
		go func() { answered <- ask(handler).StatusCode }()
		select {
		case status := <-answered:
			assert.Equal(t, http.StatusGatewayTimeout, status, c.flag)
		case <-time.After(4 * time.Second):
			assert.Fail(t, "no answer", c.flag)
		}
	}
}

func TestStages_KeepConnectionsAsTheSettingsSay(t *testing.T) {
	arrived, answer, closed := make(chan struct{}, 2), make(chan struct{}), make(chan struct{}, 2)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-answer
	}))
	backend.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	backend.Start()
	defer backend.Close()
	defer func() { close(answer) }()
	for _, c := range []struct {
		flag     string
		requests int
	}{
		{"--middleware-transport-max-idle-per-backend=1", 2},
		{"--middleware-transport-idle-timeout=10ms", 1},
	} {
		handler := newChain(t, backend.Listener.Addr(), "tricot", c.flag)
		done := make(chan int, c.requests)
		for range c.requests {
			go func() { done <- ask(handler).StatusCode }()
			<-arrived
		}
		for range c.requests {
			answer <- struct{}{}
		}
		for range c.requests {
			assert.Equal(t, http.StatusOK, <-done)
		}
		select {
		case <-closed:
		case <-time.After(4 * time.Second):
			assert.Fail(t, "no connection was closed", c.flag)
		}
	}
}

func TestBuiltin_IsTheOrderThatIsTheDefault(t *testing.T) {
	schema, err := settings.New()
	require.NoError(t, err)
	s, _ := schema.Load(nil, nil)
	var names []string
	for _, plan := range builtin() {
		names = append(names, plan.Name)
	}
	assert.Equal(t, s.Pipeline.Order, names)
}

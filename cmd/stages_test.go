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
	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// newChain builds the pipeline with settings given as flags, in front of one backend.
func newChain(t *testing.T, backend net.Addr, word string, flags ...string) http.Handler {
	t.Helper()
	return chainOf(t, backend, word, append(flags, "--middleware-redirect-enabled=false", "--middleware-access-log-path=stderr"), nil)
}

// chainOf builds it after change, which may be nil, has been made to its stages.
func chainOf(t testing.TB, backend net.Addr, word string, flags []string, change func([]plan)) http.Handler {
	t.Helper()
	schema, err := settings.New()
	require.NoError(t, err)
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	schema.Flags(set)
	require.NoError(t, set.Parse(flags))
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
	if change != nil {
		change(plans)
	}
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

// testPatience is shorter than the defaults of most of these time-outs; that of the others is told apart by the cause.
const testPatience = 30 * time.Second

func TestStages_WaitForABackendAsLongAsTheSettingsSay(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connections wait in its queue
	require.NoError(t, err)
	defer silent.Close()
	for _, c := range []struct {
		word, flag, limit string
		upload            int64
		cause             string
	}{
		{"tricot-https", "connect-timeout", "20ms", 0, "no connection within 20ms"},
		{"tricot", "response-header-timeout", "20ms", 0, "read the answer"},
		{"tricot", "progress-timeout", "20ms", 64 << 20, "nothing has been taken for 20ms"},
	} {
		t.Run(c.flag, func(t *testing.T) {
			handler := newChain(t, silent.Addr(), c.word, "--middleware-transport-"+c.flag+"="+c.limit)
			request := httptest.NewRequest("POST", "http://example.com/", nil)
			if c.upload > 0 {
				request = httptest.NewRequest("POST", "http://example.com/", io.LimitReader(zeros{}, c.upload))
				request.ContentLength = c.upload
			}
			state, w, r := pipeline.Enter(httptest.NewRecorder(), request)
			done := make(chan struct{})
			go func() {
				defer close(done)
				handler.ServeHTTP(w, r)
			}()
			select {
			case <-done:
				assert.Equal(t, http.StatusGatewayTimeout, state.Status)
				require.NotNil(t, state.Failure)
				assert.ErrorContains(t, state.Failure.Err, c.cause)
			case <-time.After(testPatience):
				assert.Fail(t, "no answer")
			}
		})
	}
}

// zeros are a body without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestStages_KeepConnectionsAsTheSettingsSay(t *testing.T) {
	for _, c := range []struct {
		flag     string
		requests int // at once
	}{
		{"max-idle-per-backend=1", 2},
		{"max-idle=1", 2},
		{"max-age=1us", 1},
		{"idle-timeout=10ms", 1},
	} {
		t.Run(c.flag, func(t *testing.T) {
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
			t.Cleanup(backend.Close)
			handler := newChain(t, backend.Listener.Addr(), "tricot", "--middleware-transport-"+c.flag)
			done := make(chan int, c.requests)
			for range c.requests {
				go func() { done <- ask(handler).StatusCode }()
				<-arrived
			}
			close(answer)
			for range c.requests {
				assert.Equal(t, http.StatusOK, <-done)
			}
			select {
			case <-closed:
			case <-time.After(testPatience):
				assert.Fail(t, "no connection was closed")
			}
		})
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

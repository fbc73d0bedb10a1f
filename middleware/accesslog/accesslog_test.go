package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// lines is a log that can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func (l lines) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l:
		return line
	case <-time.After(10 * time.Second):
		require.FailNow(t, "no line came")
		return ""
	}
}

// record reads the next line of a log in JSON.
func (l lines) record(t *testing.T) map[string]any {
	t.Helper()
	var record map[string]any
	require.NoError(t, json.Unmarshal([]byte(l.next(t)), &record))
	return record
}

func logged(level slog.Level, handler http.HandlerFunc) (http.Handler, lines) {
	out := make(lines, 64)
	log := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}))
	return New(Options{Log: log})(handler), out
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func TestAccessLog_WritesOneLineForEachRequest(t *testing.T) {
	handler, out := logged(slog.LevelInfo, hello)
	server := httptest.NewServer(handler)
	defer server.Close()
	response, err := server.Client().Post(server.URL+"/a%2Fb?token=secret", "text/plain", nil)
	require.NoError(t, err)
	_ = response.Body.Close()
	record := out.record(t)
	assert.Greater(t, record["duration"], 0.0)
	delete(record, "duration")
	delete(record, "time")
	assert.Equal(t, map[string]any{
		"level": "INFO", "msg": "request", "method": "POST", "host": server.Listener.Addr().String(), "path": "/a%2Fb",
		"status": 200.0, "bytes": 5.0, "client": "127.0.0.1", "protocol": "HTTP/1.1",
	}, record)
	assert.Empty(t, out)
}

func TestAccessLog_NamesTheVersionOfTLS(t *testing.T) {
	handler, out := logged(slog.LevelInfo, hello)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	_ = response.Body.Close()
	record := out.record(t)
	assert.Equal(t, "HTTP/2.0", record["protocol"])
	assert.Equal(t, "TLS 1.3", record["tls"])
}

func TestAccessLog_LogsWhatTheClientSentWhateverStagesMakeOfIt(t *testing.T) {
	handler, out := logged(slog.LevelInfo, func(_ http.ResponseWriter, r *http.Request) {
		r.Method, r.Host, r.RequestURI = "PUT", "other.example", "/other"
	})
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://app.example.com/path", nil))
	record := out.record(t)
	assert.Equal(t, []any{"GET", "app.example.com", "/path"}, []any{record["method"], record["host"], record["path"]})
}

func TestAccessLog_SaysTheStatusThatTheClientGot(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		status  float64
		aborted bool
	}{
		"nothing written": {func(http.ResponseWriter, *http.Request) {}, 200, false},
		"an error":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, 503, false},
		"aborted before the head": {
			func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, true,
		},
		"aborted in the body": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, 200, true},
		"a panic": {func(http.ResponseWriter, *http.Request) { panic("out of cheese") }, 0, true},
		"a failure because the client left": {func(w http.ResponseWriter, r *http.Request) {
			pipeline.StateOf(r).Failure = &pipeline.Failure{Status: StatusClientLeft, Err: context.Canceled}
			panic(http.ErrAbortHandler)
		}, 499, true},
	} {
		t.Run(name, func(t *testing.T) {
			handler, out := logged(slog.LevelInfo, c.handler)
			func() {
				defer func() { _ = recover() }()
				handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			}()
			record := out.record(t)
			assert.Equal(t, c.status, record["status"])
			assert.Equal(t, c.aborted, record["aborted"] == true)
		})
	}
}

func TestAccessLog_LetsAPanicPass(t *testing.T) {
	handler, _ := logged(slog.LevelInfo, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
}

func TestAccessLog_Says499WhereTheClientLeftBeforeAnAnswer(t *testing.T) {
	came := make(chan struct{})
	handler, out := logged(slog.LevelInfo, func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	<-came
	require.NoError(t, conn.Close())
	assert.Equal(t, 499.0, out.record(t)["status"])
}

func TestAccessLog_LogsAnUpgradedConnectionAtItsEnd(t *testing.T) {
	end := make(chan struct{})
	handler, out := logged(slog.LevelInfo, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		<-end
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	_, err = bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	assert.Empty(t, out, "not before its end")
	close(end)
	record := out.record(t)
	assert.Equal(t, 101.0, record["status"])
	assert.NotContains(t, record, "aborted")
}

func TestAccessLog_NamesTheBackendAtDebugOnly(t *testing.T) {
	proxied := func(_ http.ResponseWriter, r *http.Request) {
		state := pipeline.StateOf(r)
		state.Backend = &pipeline.Backend{Service: "web", Node: "node-1", Address: "192.0.2.1:3000"}
		state.Tries = 2
		state.Sent = time.Unix(1, 0)
		state.Answered = time.Unix(1, 5e6)
		state.Failure = &pipeline.Failure{Err: errors.New("connection refused"), Status: 502}
	}
	keys := []string{"backend", "service", "node", "backend_duration", "tries", "failure"}

	handler, out := logged(slog.LevelInfo, proxied)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	record := out.record(t)
	for _, key := range keys {
		assert.NotContains(t, record, key)
	}

	handler, out = logged(slog.LevelDebug, proxied)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	record = out.record(t)
	for i, want := range []any{"192.0.2.1:3000", "web", "node-1", 5e6, 2.0, "connection refused"} {
		assert.Equal(t, want, record[keys[i]], keys[i])
	}
	assert.Equal(t, "INFO", record["level"])

	handler, out = logged(slog.LevelDebug, hello)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	record = out.record(t)
	for _, key := range keys {
		assert.NotContains(t, record, key, "no backend had a part in it")
	}
}

func TestAccessLog_IsSilentAtWarn(t *testing.T) {
	handler, out := logged(slog.LevelWarn, func(w http.ResponseWriter, r *http.Request) {
		assert.Nil(t, pipeline.StateOf(r))
		hello(w, r)
	})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, "hello", w.Body.String())
	assert.Empty(t, out)
}

func TestAccessLog_CannotBeMadeToForgeLines(t *testing.T) {
	const forged = "x\r\nlevel=INFO msg=request status=200\u2028\u0085\x00\x1b[2K\" host=\"forged {\"msg\":\"y\"}\xff"
	for name, format := range map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			handler := New(Options{Log: slog.New(format(&out))})(http.HandlerFunc(hello))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Method, r.Host, r.RequestURI, r.Proto, r.RemoteAddr = forged, forged, "/"+forged, forged, forged+":1"
			handler.ServeHTTP(httptest.NewRecorder(), r)
			line := strings.TrimSuffix(out.String(), "\n")
			for _, raw := range []string{"\n", "\r", "\u2028", "\x00", "\x1b", "\xff"} {
				assert.NotContains(t, line, raw)
			}
			// Which key is looked for is one that the forged text has nowhere.
			assert.Equal(t, 1, strings.Count(line, map[string]string{"text": " bytes=", "json": `"bytes":`}[name]), line)
			if name == "json" {
				var record map[string]any
				require.NoError(t, json.Unmarshal([]byte(line), &record))
				assert.Equal(t, strings.ToValidUTF8(forged, "\ufffd"), record["host"])
			}
		})
	}
}

func TestAccessLog_GivesTheClientWithoutItsPort(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.1:1234":     "192.0.2.1",
		"[2001:db8::1]:1234": "2001:db8::1",
		"[fe80::1%eth0]:1":   "fe80::1%eth0",
		"@":                  "@",
		"":                   "",
	} {
		assert.Equal(t, want, ip(peer))
	}
}

// taking is a log that is enabled and costs nothing of its own.
type taking struct{ slog.Handler }

func (taking) Enabled(context.Context, slog.Level) bool      { return true }
func (taking) Handle(_ context.Context, _ slog.Record) error { return nil }

func TestAccessLog_AllocatesNoMoreThanSlogItself(t *testing.T) {
	handler := New(Options{Log: slog.New(taking{})})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/path?query", nil))
	slogs := testing.AllocsPerRun(100, func() { // a slice for what is more than five attributes
		var attrs [8]slog.Attr
		record := slog.NewRecord(time.Time{}, slog.LevelInfo, "request", 0)
		record.AddAttrs(append(attrs[:0], slog.Int("status", 200), attrs[1], attrs[2], attrs[3], attrs[4], attrs[5],
			slog.Int("bytes", 1), slog.Int("duration", 1))...)
		_ = taking{}.Handle(t.Context(), record)
	})
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { handler.ServeHTTP(w, r) }), slogs)
}

func BenchmarkAccessLog(b *testing.B) {
	for name, handler := range map[string]slog.Handler{
		"off":   slog.DiscardHandler,
		"text":  slog.NewTextHandler(io.Discard, nil),
		"json":  slog.NewJSONHandler(io.Discard, nil),
		"debug": slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			stage := New(Options{Log: slog.New(handler)})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			w := httptest.NewRecorder()
			_, entered, r := pipeline.Enter(w, httptest.NewRequest(http.MethodGet, "/path?query", nil))
			for b.Loop() {
				stage.ServeHTTP(entered, r)
			}
		})
	}
}

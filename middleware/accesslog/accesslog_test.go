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
	"path/filepath"
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
	case <-time.After(30 * time.Second):
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
	return New(Options{Log: at(level), Format: JSON, Output: out})(handler), out
}

// at is a log that is enabled for a level, and takes nothing.
func at(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: level}))
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
			pipeline.StateOf(r).Failure = &pipeline.Failure{Status: pipeline.StatusClientLeft, Err: context.Canceled}
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

func TestAccessLog_SaysWhatTheBackendHadToDoWithIt(t *testing.T) {
	proxied := func(_ http.ResponseWriter, r *http.Request) {
		state := pipeline.StateOf(r)
		state.RequestID = "f5ae2621ffff2e7d"
		state.Backend = &pipeline.Backend{Service: "web", Node: "node-1", Address: "192.0.2.1:3000"}
		state.Tries = 3
		state.Sent = time.Unix(1, 0)
		state.Answered = time.Unix(1, 5e6)
		state.Failure = &pipeline.Failure{Err: errors.New("connection reset"), Status: 502}
	}
	always := map[string]any{
		"request_id": "f5ae2621ffff2e7d", "backend_duration": 5e6, "retries": 2.0, "failure": "connection reset",
	}
	atDebug := map[string]any{"backend": "192.0.2.1:3000", "service": "web", "node": "node-1"}
	for name, c := range map[string]struct {
		level   slog.Level
		handler http.HandlerFunc
		has     []map[string]any
		hasNot  []map[string]any
	}{
		"at info":              {slog.LevelInfo, proxied, []map[string]any{always}, []map[string]any{atDebug}},
		"at debug":             {slog.LevelDebug, proxied, []map[string]any{always, atDebug}, nil},
		"where it had no part": {slog.LevelDebug, hello, nil, []map[string]any{always, atDebug}},
		"at the first of the tries": {slog.LevelDebug, func(_ http.ResponseWriter, r *http.Request) { pipeline.StateOf(r).Tries = 1 }, nil,
			[]map[string]any{{"retries": 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			handler, out := logged(c.level, c.handler)
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			record := out.record(t)
			assert.Equal(t, "INFO", record["level"])
			for _, fields := range c.has {
				for key, value := range fields {
					assert.Equal(t, value, record[key], key)
				}
			}
			for _, fields := range c.hasNot {
				for key := range fields {
					assert.NotContains(t, record, key)
				}
			}
		})
	}
}

func TestAccessLog_MasksTheTokenOfAChallenge(t *testing.T) {
	for target, want := range map[string]string{
		"/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA": "/.well-known/acme-challenge/***",
		"/.well-known/acme-challenge/a/b?c":                                       "/.well-known/acme-challenge/***",
		"/.well-known/acme-challenge/":                                            "/.well-known/acme-challenge/",
		"/.well-known/security.txt":                                               "/.well-known/security.txt",
	} {
		handler, out := logged(slog.LevelInfo, hello)
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
		assert.Equal(t, want, out.record(t)["path"])
	}
}

func TestAccessLog_CutsWhatIsLong(t *testing.T) {
	long := "/" + strings.Repeat("é", 5000)
	for _, format := range []string{Text, JSON} {
		out := make(lines, 1)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI, r.Host = long, `"`+strings.Repeat("h", 5000)
		New(Options{Log: at(slog.LevelInfo), Format: format, Output: out})(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), r)
		line := out.next(t)
		assert.Less(t, len(line), 6000)
		assert.Contains(t, line, long[:2047]+"…", "2048 would be in the middle of a character")
		assert.Contains(t, line, `h…"`)
	}
}

func TestAccessLog_TakesTheFormatOfTheLogWhereNoneIsSet(t *testing.T) {
	for name, c := range map[string]struct {
		log    slog.Handler
		prefix string
	}{
		"text":    {slog.NewTextHandler(io.Discard, nil), "time="},
		"json":    {slog.NewJSONHandler(io.Discard, nil), `{"time":`},
		"another": {taking{}, "time="},
	} {
		t.Run(name, func(t *testing.T) {
			out := make(lines, 1)
			New(Options{Log: slog.New(c.log), Output: out})(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			assert.True(t, strings.HasPrefix(out.next(t), c.prefix))
		})
	}
}

func TestAccessLog_RefusesAFormatThatIsNone(t *testing.T) {
	require.ErrorContains(t, Check("xml"), `access_log: the format is "xml"`)
	assert.Panics(t, func() { New(Options{Log: at(slog.LevelInfo), Format: "xml"}) })
	for _, format := range []string{Text, JSON} {
		assert.NoError(t, Check(format))
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
	for _, name := range []string{Text, JSON} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			handler := New(Options{Log: at(slog.LevelInfo), Format: name, Output: &out})(http.HandlerFunc(hello))
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

func TestAccessLog_AllocatesNothing(t *testing.T) {
	for _, format := range []string{Text, JSON} {
		handler := New(Options{Log: slog.New(taking{}), Format: format, Output: io.Discard})(http.HandlerFunc(proxied))
		_, w, r := pipeline.Enter(httptest.NewRecorder(), request())
		assert.Zero(t, testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }), format)
	}
}

// request is one as browsers send them.
func request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://app.example.com/assets/img/logo-small.png?v=3", nil)
	r.Proto, r.RemoteAddr = "HTTP/2.0", "203.0.113.77:52011"
	return r
}

// proxied leaves what the other stages leave of a request that a backend answered.
func proxied(_ http.ResponseWriter, r *http.Request) {
	state := pipeline.StateOf(r)
	state.RequestID, state.Tries, state.Status, state.Bytes = "f5ae2621ffff2e7d5000bb8f04ef278a", 1, 200, 48211
	state.Sent, state.Answered = state.Received, state.Received.Add(1234567)
}

func BenchmarkAccessLog(b *testing.B) {
	file, err := Open(OutputOptions{Path: filepath.Join(b.TempDir(), "access.log"), MaxBuffered: 64 << 20})
	require.NoError(b, err)
	defer func() { assert.NoError(b, file.Close()) }()
	for name, options := range map[string]Options{
		"off":           {Log: slog.New(slog.DiscardHandler)},
		"text":          {Log: at(slog.LevelInfo), Format: Text, Output: io.Discard},
		"json":          {Log: at(slog.LevelInfo), Format: JSON, Output: io.Discard},
		"text to file":  {Log: at(slog.LevelInfo), Format: Text, Output: file},
		"json to file":  {Log: at(slog.LevelInfo), Format: JSON, Output: file},
		"text at debug": {Log: at(slog.LevelDebug), Format: Text, Output: io.Discard},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			stage := New(options)(http.HandlerFunc(proxied))
			_, w, r := pipeline.Enter(httptest.NewRecorder(), request())
			for b.Loop() {
				stage.ServeHTTP(w, r)
			}
		})
	}
}

package requestid_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/middleware/requestid"
	"github.com/tricot-proxy/tricot/pipeline"
)

const made = `^[0-9a-f]{32}$`

func stage(t testing.TB, options requestid.Options, next http.HandlerFunc) http.Handler {
	t.Helper()
	wrap, err := requestid.New(options)
	require.NoError(t, err)
	return wrap(next)
}

// exchanged is one request, as the backend saw it and as the client saw its answer.
type exchanged struct {
	state    string
	header   http.Header
	response *http.Response
}

// ask sends a request with these ids through the stage, over a connection.
func ask(t *testing.T, options requestid.Options, ids ...string) exchanged {
	t.Helper()
	var x exchanged
	server := httptest.NewServer(stage(t, options, func(_ http.ResponseWriter, r *http.Request) {
		x.state, x.header = pipeline.StateOf(r).RequestID, r.Header.Clone()
	}))
	defer server.Close()
	request, err := http.NewRequest(http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	for _, id := range ids {
		request.Header.Add(requestid.Field, id)
	}
	x.response, err = server.Client().Do(request)
	require.NoError(t, err)
	require.NoError(t, x.response.Body.Close())
	return x
}

func TestRequestID_IsMadeWhereNoneCame(t *testing.T) {
	first, second := ask(t, requestid.Options{}), ask(t, requestid.Options{})
	for _, x := range []exchanged{first, second} {
		assert.Regexp(t, made, x.state)
		assert.Equal(t, []string{x.state}, x.header[requestid.Field], "the backend gets it")
		assert.Equal(t, []string{x.state}, x.response.Header[requestid.Field], "the client gets it")
	}
	assert.NotEqual(t, first.state, second.state)
}

func TestRequestID_PassesOnWhatIsOneAndReplacesWhatIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		ids    []string
		passed bool
	}{
		"a UUID":              {[]string{"7fb3693f-4061-4070-95d4-3889aa8a22a5"}, true},
		"hex":                 {[]string{"f5ae2621ffff2e7d5000bb8f04ef278a"}, true},
		"base64":              {[]string{"9QAAAAA+/w=="}, true},
		"X-Ray's":             {[]string{"Root=1-67891233-abcdef012345678912345678"}, true},
		"a path of ids":       {[]string{"edge:a.b_c/1@fra~2"}, true},
		"one character":       {[]string{"1"}, true},
		"as long as it may":   {[]string{strings.Repeat("a", 128)}, true},
		"too long":            {[]string{strings.Repeat("a", 129)}, false},
		"empty":               {[]string{""}, false},
		"two":                 {[]string{"a", "a"}, false},
		"a list":              {[]string{"a,b"}, false},
		"a space":             {[]string{"a b"}, false},
		"a tab":               {[]string{"a\tb"}, false},
		"a quote":             {[]string{`a"b`}, false},
		"an apostrophe":       {[]string{"a'b"}, false},
		"a backslash":         {[]string{`a\b`}, false},
		"markup":              {[]string{"<b>"}, false},
		"a shell's":           {[]string{"$(a)"}, false},
		"beyond ASCII":        {[]string{"é"}, false},
		"beyond text":         {[]string{"a\x80"}, false},
		"Log4j's":             {[]string{"${jndi:x}"}, false},
		"a percent, as in %s": {[]string{"a%s"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			x := ask(t, requestid.Options{}, c.ids...)
			if c.passed {
				assert.Equal(t, c.ids[0], x.state)
			} else {
				assert.Regexp(t, made, x.state)
			}
			assert.Equal(t, []string{x.state}, x.header[requestid.Field])
			assert.Equal(t, []string{x.state}, x.response.Header[requestid.Field])
		})
	}
}

func TestRequestID_OnlyTrustedPeersMayChooseItWhereThatIsAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		options requestid.Options
		passed  bool
	}{
		"trusted":                       {requestid.Options{OnlyTrusted: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, true},
		"trusted, written as IPv6":      {requestid.Options{OnlyTrusted: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::ffff:127.0.0.0/104")}}, true},
		"another one is":                {requestid.Options{OnlyTrusted: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, false},
		"nobody is":                     {requestid.Options{OnlyTrusted: true}, false},
		"another one is, all may":       {requestid.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, true},
		"trusted, and everybody may do": {requestid.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.passed, ask(t, c.options, "mine").state == "mine")
		})
	}
}

func TestRequestID_APeerWithoutAnAddressIsNotTrusted(t *testing.T) {
	var id string
	handler := stage(t, requestid.Options{OnlyTrusted: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		func(_ http.ResponseWriter, r *http.Request) { id = pipeline.StateOf(r).RequestID })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "@"
	r.Header.Set(requestid.Field, "mine")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	assert.Regexp(t, made, id)
}

func TestRequestID_RefusesAPrefixThatIsNone(t *testing.T) {
	_, err := requestid.New(requestid.Options{TrustedProxies: []netip.Prefix{{}}})
	require.ErrorContains(t, err, "request_id: TrustedProxies")
}

func TestRequestID_ABackendCannotTakeADisguisedFieldForIt(t *testing.T) {
	for _, name := range []string{"X_Request_Id", "x_request_id", "X-Request_ID", "x_request-id"} {
		var header http.Header
		handler := stage(t, requestid.Options{}, func(_ http.ResponseWriter, r *http.Request) { header = r.Header })
		server := httptest.NewServer(handler)
		request, err := http.NewRequest(http.MethodGet, server.URL, nil)
		require.NoError(t, err)
		request.Header[name] = []string{"forged"}
		response, err := server.Client().Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		server.Close()
		for field, values := range header {
			assert.NotContains(t, values, "forged", field)
		}
	}
}

func TestRequestID_LeavesTheBackendsOwnIDToTheClient(t *testing.T) {
	server := httptest.NewServer(stage(t, requestid.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add(requestid.Field, "the backend's")
		_, _ = io.WriteString(w, "hello")
	}))
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, []string{"the backend's"}, response.Header[requestid.Field])
}

func TestRequestID_IsInTheResponseHoweverThatBegins(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"nothing is written": func(http.ResponseWriter, *http.Request) {},
		"a head":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"content":            func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"a flush":            func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"an http.Flusher's":  func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"after early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(stage(t, requestid.Options{}, handler))
			defer server.Close()
			response, err := server.Client().Get(server.URL)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Regexp(t, made, response.Header.Get(requestid.Field))
		})
	}
}

func TestRequestID_IsInTheAnswerToAnUpgradeWhoseConnectionCanBeTakenOver(t *testing.T) {
	server := httptest.NewServer(stage(t, requestid.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "echo")
		w.Header().Set("Connection", "Upgrade")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = buffered.WriteString("taken")
			_ = buffered.Flush()
			_ = conn.Close()
		}
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	assert.Regexp(t, made, response.Header.Get(requestid.Field))
	rest, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, "taken", string(rest))
}

func TestRequestID_LetsAPanicPass(t *testing.T) {
	handler := stage(t, requestid.Options{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
}

func TestRequestID_GivesEachOfManyRequestsItsOwn(t *testing.T) {
	const clients, requests = 8, 100
	server := httptest.NewServer(stage(t, requestid.Options{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, pipeline.StateOf(r).RequestID)
	}))
	defer server.Close()
	var mu sync.Mutex
	seen := make(map[string]bool)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for range requests {
				response, err := server.Client().Get(server.URL)
				if !assert.NoError(t, err) {
					return
				}
				body, err := io.ReadAll(response.Body)
				assert.NoError(t, err)
				assert.NoError(t, response.Body.Close())
				assert.Equal(t, string(body), response.Header.Get(requestid.Field))
				mu.Lock()
				seen[string(body)] = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
	assert.Len(t, seen, clients*requests)
}

// quiet is a response that nobody reads.
type quiet http.Header

func (q quiet) Header() http.Header         { return http.Header(q) }
func (q quiet) WriteHeader(int)             {}
func (q quiet) Write(p []byte) (int, error) { return len(p), nil }

func TestRequestID_AllocatesTheIDAndItsSliceOnly(t *testing.T) {
	handler := stage(t, requestid.Options{}, func(http.ResponseWriter, *http.Request) {})
	_, w, r := pipeline.Enter(quiet{}, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		delete(r.Header, requestid.Field)
		delete(w.Header(), requestid.Field)
		handler.ServeHTTP(w, r)
	}), 2.0)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		delete(w.Header(), requestid.Field)
		handler.ServeHTTP(w, r) // has one now
	}))
}

func FuzzRequestID_IsAlwaysFitForALogAndAField(f *testing.F) {
	f.Add("7fb3693f-4061-4070-95d4-3889aa8a22a5", "b")
	f.Add("a\r\nb", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		handler := stage(t, requestid.Options{}, func(_ http.ResponseWriter, r *http.Request) {
			id := pipeline.StateOf(r).RequestID
			require.Regexp(t, `^[-A-Za-z0-9_.:/+=@~]{1,128}$`, id)
			require.Equal(t, []string{id}, r.Header[requestid.Field])
		})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header[requestid.Field] = []string{first}
		if second != "" {
			r.Header[requestid.Field] = []string{first, second}
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
	})
}

func BenchmarkRequestID(b *testing.B) {
	for name, id := range map[string]string{"made": "", "passed on": "7fb3693f-4061-4070-95d4-3889aa8a22a5"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			handler := stage(b, requestid.Options{}, func(http.ResponseWriter, *http.Request) {})
			_, w, r := pipeline.Enter(quiet{}, httptest.NewRequest(http.MethodGet, "/", nil))
			for b.Loop() {
				if id == "" {
					delete(r.Header, requestid.Field)
				} else {
					r.Header[requestid.Field] = []string{id}
				}
				delete(w.Header(), requestid.Field)
				handler.ServeHTTP(w, r)
			}
		})
	}
}

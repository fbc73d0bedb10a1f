package h2

import (
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

func TestServe_GivesAHandlerTheRequestAsNetHTTPDoes(t *testing.T) {
	type request struct {
		method, path string
		content      string
		ends         bool // with its head
		fields       []string
		trailers     []string
	}
	for name, q := range map[string]request{
		"plain":                   {method: "GET", path: "/", ends: true},
		"a query":                 {method: "GET", path: "/a/b?c=d&e=%20&f", ends: true},
		"an empty query":          {method: "GET", path: "/a?", ends: true},
		"two slashes":             {method: "GET", path: "//a//b/../c", ends: true},
		"an encoded path":         {method: "GET", path: "/a%2Fb/%c3%bc%20!*'()", ends: true},
		"OPTIONS *":               {method: "OPTIONS", path: "*", ends: true},
		"another method":          {method: "PROPFIND", path: "/", ends: true},
		"fields":                  {method: "GET", path: "/", ends: true, fields: []string{"x-a", "1", "x-b", "", "x-a", "2", "accept", "*/*", "user-agent", "it"}},
		"cookies in pieces":       {method: "GET", path: "/", ends: true, fields: []string{"cookie", "a=1", "x-a", "1", "cookie", "b=2", "cookie", "c=3"}},
		"a cookie":                {method: "GET", path: "/", ends: true, fields: []string{"cookie", "a=1; b=2"}},
		"TE":                      {method: "GET", path: "/", ends: true, fields: []string{"te", "trailers"}},
		"a length":                {method: "POST", path: "/", content: "hello", fields: []string{"content-length", "5"}},
		"no length":               {method: "POST", path: "/", content: "hello"},
		"content of GET":          {method: "GET", path: "/", content: "hello"},
		"no content":              {method: "POST", path: "/"},
		"a length of nothing":     {method: "POST", path: "/", fields: []string{"content-length", "0"}},
		"that, at once":           {method: "POST", path: "/", ends: true, fields: []string{"content-length", "0"}},
		"trailers":                {method: "POST", path: "/", content: "hello", fields: []string{"trailer", "x-a"}, trailers: []string{"x-a", "1"}},
		"a Host as the authority": {method: "GET", path: "/", ends: true, fields: []string{"host", "app.example.com"}},
		"values beyond ASCII":     {method: "GET", path: "/", ends: true, fields: []string{"x-a", "gr\xfc\xdfe", "x-b", "\xc3\xbc"}},
	} {
		t.Run(name, func(t *testing.T) {
			requests := make(chan servertest.Request, 1)
			handler := func(_ http.ResponseWriter, r *http.Request) { requests <- servertest.ReadRequest(r) }
			var result []servertest.Request
			for _, f := range []*front{onNetHTTP(t, http.HandlerFunc(handler)), serve(t, handler)} {
				w := f.wire(t)
				w.head(1, q.ends, q.method, q.path, q.fields...)
				if !q.ends {
					w.data(1, q.trailers == nil, q.content)
				}
				if q.trailers != nil {
					w.trailers(1, q.trailers...)
				}
				w.send()
				assert.Equal(t, 200, w.answer(1).status)
				result = append(result, receive(t, requests))
			}
			assert.Equal(t, q.ends, result[1].NoBody, "net/http says so over HTTP/1.1 only")
			result[0].NoBody = q.ends
			delete(result[0].Header, "Host") // which net/http leaves there as well
			assert.True(t, result[1].TLS)
			assert.Equal(t, result[0], result[1])
		})
	}
}

// What has an Expect is handed on as over HTTP/1.1: who sends it further has to know of it.
func TestServe_LeavesExpectInTheRequest(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) { say(w, r.Header.Get("Expect")) })
	w := f.wire(t)
	w.post(1, "/", "expect", "100-continue")
	w.post(3, "/", "expect", "something else")
	w.send()
	assert.Equal(t, "100-continue", w.answer(1).content.String())
	assert.Equal(t, http.StatusExpectationFailed, w.answer(3).status)
}

func TestServe_TellsAHandlerOfItsConnection(t *testing.T) {
	parent := new(http.Server)
	type told struct {
		remote, local, name string
		server              any
	}
	tolds := make(chan told, 1)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		tolds <- told{
			r.RemoteAddr, fmt.Sprint(r.Context().Value(http.LocalAddrContextKey)), r.TLS.ServerName,
			r.Context().Value(http.ServerContextKey),
		}
	}, func(f *front) { f.options.Parent = parent })
	w := f.wire(t)
	w.get(1, "/")
	w.send()
	assert.Equal(t, told{
		w.conn.LocalAddr().String(), f.listener.Addr().String(), "app.example.com", parent,
	}, receive(t, tolds))
}

func TestServe_RemovesTheFilesOfAForm(t *testing.T) {
	names := make(chan string, 1)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseMultipartForm(10))
		file, err := r.MultipartForm.File["file"][0].Open()
		if assert.NoError(t, err) {
			names <- file.(*os.File).Name()
			_ = file.Close()
		}
	})
	var content strings.Builder
	form := multipart.NewWriter(&content)
	part, err := form.CreateFormFile("file", "x")
	require.NoError(t, err)
	_, err = io.WriteString(part, strings.Repeat("x", 11<<20))
	require.NoError(t, err)
	require.NoError(t, form.Close())
	response, err := f.client(t).Post(f.url("/"), form.FormDataContentType(), strings.NewReader(content.String()))
	require.NoError(t, err)
	_ = response.Body.Close()
	name := receive(t, names)
	require.Eventually(t, func() bool { _, err := os.Stat(name); return os.IsNotExist(err) }, longest, step)
}

// A handler may keep the request and all that is in it.
func TestServe_LeavesARequestAsItWas(t *testing.T) {
	const many = 100
	kept := make(chan *http.Request, many)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) { kept <- r })
	w := f.wire(t)
	for i := range uint32(many) {
		w.get(2*i+1, fmt.Sprintf("/%d?q=%d", i, i), "x-a", fmt.Sprint("value ", i), "x-b", strings.Repeat("b", int(i)))
	}
	w.send()
	for i := range uint32(many) {
		w.content(2*i + 1)
	}
	paths := make(map[string]bool)
	for range many {
		r := receive(t, kept)
		var i int
		_, err := fmt.Sscanf(r.URL.Path, "/%d", &i)
		require.NoError(t, err)
		paths[r.URL.Path] = true
		assert.Equal(t, fmt.Sprintf("/%d?q=%d", i, i), r.RequestURI)
		assert.Equal(t, fmt.Sprintf("q=%d", i), r.URL.RawQuery)
		assert.Equal(t, http.Header{"X-A": {fmt.Sprint("value ", i)}, "X-B": {strings.Repeat("b", i)}}, r.Header)
	}
	assert.Len(t, paths, many)
}

func TestHead_OfAnAnswerMayBeLongerThanAFrame(t *testing.T) {
	long := map[string]string{}
	for i, size := range []int{100, maxFrame - 1, maxFrame, maxFrame + 1, 5 * maxFrame} {
		long[fmt.Sprintf("X-Long-%d", i)] = pattern(i, size)
	}
	for name, value := range long {
		long[name] = strings.Map(func(r rune) rune { return 'a' + r%26 }, value)
	}
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name, value := range long {
			w.Header().Set(name, value)
		}
		if r.URL.Path == "/trailers" {
			w.Header().Set("Trailer", "X-Long-4, X-Small")
		}
		if r.URL.Path != "/empty" {
			say(w, "hello")
		}
		if r.URL.Path == "/trailers" {
			flush(w)
			w.Header().Set("X-Small", "1")
		}
	})
	w := f.wire(t)
	w.get(1, "/")
	w.get(3, "/empty")
	w.get(5, "/trailers")
	w.get(7, "/")
	w.send()
	for id, content := range map[uint32]string{1: "hello", 3: "", 5: "hello", 7: "hello"} {
		assert.Equal(t, content, w.content(id))
		for name, value := range long {
			requireSame(t, value, w.reply(id).header.Get(name))
		}
	}
	requireSame(t, long["X-Long-4"], w.reply(5).trailer.Get("X-Long-4"))
	assert.Equal(t, "1", w.reply(5).trailer.Get("X-Small"))
}

func TestHead_ThatIsTooLargeIsAnswered431AndTheConnectionGoesOn(t *testing.T) {
	many := func(n int, value string) (fields []string) {
		for i := range n {
			fields = append(fields, fmt.Sprintf("x-%d", i), value)
		}
		return fields
	}
	f := serve(t, func(w http.ResponseWriter, r *http.Request) { say(w, r.Header.Get("X-Table")) },
		func(f *front) { f.options.MaxHeaderBytes = 100_000 })
	w := f.wire(t)
	id := uint32(1)
	for _, c := range []struct {
		fields []string
		status int
	}{
		{nil, 200},
		{many(999, "y"), 200},
		{many(1000, "y"), 200},
		{many(1001, "y"), 431},
		{many(10, strings.Repeat("y", 9_800)), 200},
		{many(10, strings.Repeat("y", 10_100)), 431},
		{nil, 200},
	} {
		// All blocks enter a field into the table, which the next ones refer to.
		fields := append([]string{"x-table", "kept"}, c.fields...)
		if len(c.fields) >= 1000*2 {
			fields = c.fields
		}
		block := append([]byte(nil), w.fragment(append([]string{
			":method", "GET", ":scheme", "https", ":authority", "app.example.com", ":path", "/",
		}, fields...)...)...)
		first := block[:min(len(block), maxFrame)]
		require.NoError(t, w.WriteHeaders(http2.HeadersFrameParam{
			StreamID: id, EndStream: true, BlockFragment: first, EndHeaders: len(first) == len(block),
		}))
		for rest := block[len(first):]; len(rest) > 0; {
			n := min(len(rest), maxFrame)
			require.NoError(t, w.WriteContinuation(id, n == len(rest), rest[:n]))
			rest = rest[n:]
		}
		w.send()
		r := w.answer(id)
		assert.Equal(t, c.status, r.status, "%d fields", len(fields)/2)
		assert.True(t, r.ended)
		if c.status == 200 && len(c.fields) < 1000*2 {
			assert.Equal(t, "kept", r.content.String())
		}
		id += 2
	}
	requireAtRest(t, f.only(t))
}

// RFC 7541, section 4.2: a client may change the table's size at any time, and what follows keeps to it.
func TestHead_KeepsToTheTableThatTheClientHasRoomFor(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 20 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("v", 10*i))
		}
		w.Header().Set("X-Path", r.URL.Path)
	})
	w := f.wire(t)
	w.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(1 << 20)
	id := uint32(1)
	for _, size := range []uint32{4096, 0, 100, 1 << 20, 200, 0, 4096, 1} {
		require.NoError(t, w.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: size}))
		for range 3 {
			path := fmt.Sprintf("/%d/%d", size, id)
			w.get(id, path)
			w.send()
			r := w.answer(id)
			assert.Equal(t, path, r.header.Get("X-Path"))
			for i := range 20 {
				assert.Equal(t, strings.Repeat("v", 10*i), r.header.Get(fmt.Sprintf("X-%d", i)))
			}
			id += 2
		}
	}
	// The one after the other, of which the least counts, too.
	require.NoError(t, w.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096}))
	require.NoError(t, w.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0},
		http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096}))
	for range 3 {
		w.get(id, "/last")
		w.send()
		assert.Equal(t, "/last", w.answer(id).header.Get("X-Path"))
		id += 2
	}
}

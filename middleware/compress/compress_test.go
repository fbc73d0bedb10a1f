package compress

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNew_RefusesWhatMakesNoSense(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		want    []string
	}{
		{"no slash", Options{MIMETypes: []string{"text"}}, []string{`"text"`}},
		{"no subtype", Options{MIMETypes: []string{"text/"}}, []string{`"text/"`}},
		{"no type", Options{MIMETypes: []string{"/html"}}, []string{`"/html"`}},
		{"two slashes", Options{MIMETypes: []string{"text/html/x"}}, []string{`"text/html/x"`}},
		{"a parameter", Options{MIMETypes: []string{"text/html; charset=utf-8"}}, []string{`"text/html; charset=utf-8"`}},
		{"a wildcard", Options{MIMETypes: []string{"text/*"}}, []string{`"text/*"`}},
		{"a space", Options{MIMETypes: []string{"text /html"}}, []string{`"text /html"`}},
		{"an empty type", Options{MIMETypes: []string{"text/html", ""}}, []string{`""`}},
		{"a negative length", Options{MinLength: -1}, []string{"-1"}},
		{"all at once", Options{MIMETypes: []string{"a", "text/html", "b"}, MinLength: -5}, []string{`"a"`, `"b"`, "-5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.options)
			require.Error(t, err)
			for _, want := range c.want {
				assert.ErrorContains(t, err, want)
			}
			assert.NotContains(t, err.Error(), `"text/html":`)
		})
	}
}

func TestNew_TakesTypesInAnyCaseAndWithSpacesAround(t *testing.T) {
	wrap, err := New(Options{MIMETypes: []string{" Text/HTML ", "application/vnd.api+json"}})
	require.NoError(t, err)
	stage := wrap(nil).(*compressor)
	assert.Contains(t, stage.rules.types, "text/html")
	assert.Contains(t, stage.rules.types, "application/vnd.api+json")
}

func TestCompress_CompressesEachOfTheDefaultTypes(t *testing.T) {
	text := page(4096)
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Want-Type"))
		_, _ = io.WriteString(w, text)
	})
	types := strings.Split(DefaultMIMETypes, ",")
	require.Len(t, types, 10)
	for _, mimeType := range types {
		for _, written := range []string{
			mimeType, strings.ToUpper(mimeType), mimeType + " ;charset=utf-8", mimeType + ";q=\"a,b\"",
		} {
			t.Run(written, func(t *testing.T) {
				response := server.do(t, http.MethodGet, http.Header{"Accept-Encoding": {"gzip"}, "Want-Type": {written}})
				assert.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
				assert.Equal(t, written, response.Header.Get("Content-Type"))
				assert.Equal(t, text, decodeAll(t, response))
			})
		}
	}
}

func TestCompress_SendsWhatTheClientAsksFor(t *testing.T) {
	text := page(20_000)
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			header := w.Header()
			header.Set("Content-Type", "text/html; charset=utf-8")
			header.Set("Content-Length", strconv.Itoa(len(text)))
			header.Set("Accept-Ranges", "bytes")
			header.Set("Etag", `"v1"`)
			header.Set("Content-Md5", "Q2hlY2sgSW50ZWdyaXR5IQ==")
			header.Set("Content-Digest", "sha-256=:abc:")
			header.Set("Repr-Digest", "sha-256=:abc:")
			header.Set("Digest", "sha-256=abc")
			header.Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, text)
		})
		response := server.get(t, c.String())
		assert.Equal(t, http.StatusNotFound, response.StatusCode)
		assert.Equal(t, []string{c.String()}, response.Header["Content-Encoding"])
		assert.Equal(t, []string{"Accept-Encoding"}, response.Header["Vary"])
		assert.Equal(t, []string{`W/"v1"`}, response.Header["Etag"])
		assert.Equal(t, "text/html; charset=utf-8", response.Header.Get("Content-Type"))
		assert.Equal(t, "Mon, 02 Jan 2006 15:04:05 GMT", response.Header.Get("Last-Modified"))
		for _, gone := range []string{"Accept-Ranges", "Content-Md5", "Content-Digest", "Repr-Digest", "Digest"} {
			assert.NotContains(t, response.Header, gone)
		}
		assert.NotEqual(t, int64(len(text)), response.ContentLength)
		assert.Equal(t, text, decodeAll(t, response))
	})
}

func TestCompress_LeavesAloneWhatItShould(t *testing.T) {
	text := page(2048)
	type headers map[string]string
	for _, c := range []struct {
		name     string
		method   string  // GET where empty
		request  headers // Accept-Encoding: br, zstd, gzip where it has none
		status   int     // 200 where 0
		response headers // Content-Type: text/html where it has none
		length   int     // of the content; 2048 where 0
		varies   bool
	}{
		{name: "no coding accepted", request: headers{"Accept-Encoding": ""}, varies: true},
		{name: "only identity accepted", request: headers{"Accept-Encoding": "identity"}, varies: true},
		{name: "only codings of others accepted", request: headers{"Accept-Encoding": "deflate"}, varies: true},
		{name: "one byte short of 1 KiB", response: headers{"Content-Length": "1023"}, length: 1023, varies: true},
		{name: "HEAD", method: http.MethodHead, response: headers{"Content-Length": "2048"}, varies: true},
		{name: "206", status: 206, response: headers{"Content-Range": "bytes 0-2047/9999"}, varies: true},
		{name: "206 that does not tell its range", status: 206, varies: true},
		{name: "206 of several ranges", status: 206, response: headers{"Content-Type": "multipart/byteranges; boundary=x"}},
		{name: "204", status: 204, varies: true},
		{name: "205", status: 205, response: headers{"Content-Length": "0"}, varies: true},
		{name: "304", status: 304, varies: true},
		{name: "304 without its type", status: 304, response: headers{"Content-Type": "-"}, varies: true},
		{name: "304 of another type", status: 304, response: headers{"Content-Type": "image/png"}},
		{name: "304 to a strong tag", status: 304, request: headers{"If-None-Match": `"v1"`}, varies: true},
		{name: "416", status: 416, response: headers{"Content-Range": "bytes */9999"}, varies: true},
		{name: "has a coding", response: headers{"Content-Encoding": "deflate"}, varies: true},
		{name: "has our coding", response: headers{"Content-Encoding": "gzip"}, varies: true},
		{name: "no-transform", response: headers{"Cache-Control": "public, No-Transform ,max-age=5"}, varies: true},
		{name: "no-transform in the request", request: headers{"Cache-Control": "no-transform"}, varies: true},
		{name: "a type that is not listed", response: headers{"Content-Type": "image/png"}},
		{name: "a type that begins like a listed one", response: headers{"Content-Type": "text/html5"}},
		{name: "a stream of events", response: headers{"Content-Type": "text/event-stream"}},
	} {
		for _, protocol := range everyProtocol {
			t.Run(c.name+" "+protocol, func(t *testing.T) {
				want := http.Header{"Etag": {`"v1"`}, "Accept-Ranges": {"bytes"}, "Content-Type": {"text/html"}}
				for name, value := range c.response {
					want.Set(name, value)
				}
				if want.Get("Content-Type") == "-" {
					want.Del("Content-Type")
				}
				status := http.StatusOK
				if c.status > 0 {
					status = c.status
				}
				content := text
				if c.length > 0 {
					content = text[:c.length]
				}
				if status == 204 || status == 205 || status == 304 || c.method == http.MethodHead {
					content = ""
				}
				server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
					for name, values := range want {
						w.Header()[name] = values
					}
					w.WriteHeader(status)
					w.(http.Flusher).Flush() // the head, even where nothing follows it
					if content != "" {
						_, _ = io.WriteString(w, content)
					}
				})
				request := http.Header{"Accept-Encoding": {"br, zstd, gzip"}}
				for name, value := range c.request {
					request.Set(name, value)
				}
				method := c.method
				if method == "" {
					method = http.MethodGet
				}
				response := server.do(t, method, request)
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				assert.Equal(t, status, response.StatusCode)
				assert.Equal(t, content, string(body))
				if status == http.StatusNotModified {
					want.Del("Content-Type") // net/http drops it over HTTP/1.1
					response.Header.Del("Content-Type")
				}
				for name, values := range want {
					assert.Equal(t, values, response.Header[name], name)
				}
				assert.Equal(t, want["Content-Encoding"], response.Header["Content-Encoding"])
				if c.varies {
					assert.Equal(t, []string{"Accept-Encoding"}, response.Header["Vary"])
				} else {
					assert.Empty(t, response.Header["Vary"])
				}
			})
		}
	}
}

func TestCompress_CompressesFromOneKiBOn(t *testing.T) {
	for _, c := range []struct {
		minLength, length int64
		want              string
	}{
		{0, 1023, ""}, {0, 1024, "gzip"}, {100, 99, ""}, {100, 100, "gzip"}, {1, 1, "gzip"}, {5000, 4999, ""},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.length, c.minLength), func(t *testing.T) {
			server := serve(t, "HTTP/1.1", Options{MinLength: c.minLength}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("Content-Length", strconv.FormatInt(c.length, 10))
				_, _ = io.WriteString(w, page(int(c.length)))
			})
			response := server.get(t, "gzip")
			assert.Equal(t, c.want, response.Header.Get("Content-Encoding"))
			assert.Equal(t, page(int(c.length)), decodeAll(t, response))
		})
	}
}

func TestCompress_CompressesContentOfUnknownLengthHoweverShort(t *testing.T) {
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "short")
		})
		response := server.get(t, c.String())
		assert.Equal(t, c.String(), response.Header.Get("Content-Encoding"))
		assert.Equal(t, "short", decodeAll(t, response))
	})
}

func TestCompress_WeakensAStrongEntityTag(t *testing.T) {
	for _, c := range []struct{ tag, want string }{
		{`"v1"`, `W/"v1"`}, {`W/"v1"`, `W/"v1"`}, {`""`, `W/""`}, {"", ""}, {"v1", ""},
	} {
		t.Run(c.tag, func(t *testing.T) {
			server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				if c.tag != "" {
					w.Header().Set("Etag", c.tag)
				}
				_, _ = io.WriteString(w, page(2000))
			})
			assert.Equal(t, c.want, server.get(t, "gzip").Header.Get("Etag"))
		})
	}
}

func TestCompress_Gives304TheTagThatTheCompressedResponseHas(t *testing.T) {
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v2"`)
		w.WriteHeader(http.StatusNotModified)
	})
	for _, c := range []struct {
		name, want string
		asked      []string
	}{
		{"the weak form", `W/"v2"`, []string{`W/"v2"`}},
		{"the weak form among others", `W/"v2"`, []string{`"v0", W/"v1"`, `W/"a,b", W/"v2"`}},
		{"the strong form", `"v2"`, []string{`"v2"`}},
		{"a weak form of another", `"v2"`, []string{`W/"v22", "v2"`}},
		{"anything", `"v2"`, []string{"*"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			response := server.do(t, http.MethodGet, http.Header{"Accept-Encoding": {"gzip"}, "If-None-Match": c.asked})
			assert.Equal(t, http.StatusNotModified, response.StatusCode)
			assert.Equal(t, []string{c.want}, response.Header["Etag"])
		})
	}
}

func TestCompress_AddsAcceptEncodingToVaryOnce(t *testing.T) {
	for _, c := range []struct {
		name        string
		given, want []string
	}{
		{"none", nil, []string{"Accept-Encoding"}},
		{"another", []string{"Cookie"}, []string{"Cookie", "Accept-Encoding"}},
		{"there already", []string{"Cookie, accept-encoding"}, []string{"Cookie, accept-encoding"}},
		{"there already in another field", []string{"Cookie", "Accept-Encoding"}, []string{"Cookie", "Accept-Encoding"}},
		{"everything", []string{"*"}, []string{"*"}},
		{"a longer name", []string{"X-Accept-Encoding"}, []string{"X-Accept-Encoding", "Accept-Encoding"}},
	} {
		for _, accepted := range []string{"gzip", "identity"} {
			t.Run(c.name+" "+accepted, func(t *testing.T) {
				server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/plain")
					if c.given != nil {
						w.Header()["Vary"] = c.given
					}
					_, _ = io.WriteString(w, page(2000))
				})
				assert.Equal(t, c.want, server.get(t, accepted).Header["Vary"])
			})
		}
	}
}

func TestCompress_LeavesHeaderValuesThatAreSharedAsTheyAre(t *testing.T) {
	vary, etag := append(make([]string, 0, 2), "Cookie"), []string{`"v1"`}
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"], w.Header()["Vary"], w.Header()["Etag"] = []string{"text/plain"}, vary, etag
		_, _ = io.WriteString(w, page(2000))
	})
	response := server.get(t, "gzip")
	assert.Equal(t, []string{"Cookie", "Accept-Encoding"}, response.Header["Vary"])
	assert.Equal(t, []string{"Cookie", ""}, vary[:2])
	assert.Equal(t, []string{`"v1"`}, etag)
}

func TestCompress_TakesIdentityInContentEncodingForNone(t *testing.T) {
	for _, given := range []string{"identity", "Identity", ""} {
		server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Encoding", given)
			_, _ = io.WriteString(w, page(2000))
		})
		response := server.get(t, "gzip")
		assert.Equal(t, []string{"gzip"}, response.Header["Content-Encoding"])
		assert.Equal(t, page(2000), decodeAll(t, response))
	}
}

func TestCompress_LeavesContentWithoutATypeToTheServersSniffing(t *testing.T) {
	html := "<!DOCTYPE html><html>" + page(4000)
	for _, protocol := range everyProtocol {
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, html)
		})
		response := server.get(t, "gzip")
		assert.Equal(t, "text/html; charset=utf-8", response.Header.Get("Content-Type"))
		assert.Empty(t, response.Header.Get("Content-Encoding"))
		assert.Equal(t, html, decodeAll(t, response))
	}
}

func TestCompress_DecidesByTheRequestAsItCame(t *testing.T) {
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Accept-Encoding", "br") // as a stage in between may, for its backend
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, page(2000))
	})
	assert.Equal(t, "gzip", server.get(t, "gzip").Header.Get("Content-Encoding"))
}

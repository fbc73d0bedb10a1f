package compress

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestResponse_KeepsServerSentEventsLive(t *testing.T) {
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		seen := make(chan struct{})
		options := Options{MIMETypes: []string{"text/event-stream"}}
		server := serve(t, protocol, options, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush() // the head alone
			for i := range 5 {
				select {
				case <-seen:
				case <-r.Context().Done():
					return
				}
				fmt.Fprintf(w, "data: %d\n\n", i)
				if i%2 == 0 {
					w.(http.Flusher).Flush()
				} else {
					assert.NoError(t, http.NewResponseController(w).Flush())
				}
			}
		})
		response := server.get(t, c.String())
		require.Equal(t, c.String(), response.Header.Get("Content-Encoding"))
		events := decode(t, c.String(), response.Body)
		for i := range 5 {
			seen <- struct{}{}
			event := make([]byte, len("data: 0\n\n"))
			_, err := io.ReadFull(events, event)
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("data: %d\n\n", i), string(event))
		}
		rest, err := io.ReadAll(events)
		require.NoError(t, err)
		assert.Empty(t, rest)
	})
}

func TestResponse_ReachesFlushThroughAnotherResponseWriter(t *testing.T) {
	type unwrapper struct{ unwrapping }
	flushed := make(chan struct{})
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "first")
		assert.NoError(t, http.NewResponseController(unwrapper{unwrapping{w}}).Flush())
		select {
		case <-flushed:
		case <-r.Context().Done():
		}
	})
	response := server.get(t, "gzip")
	content := make([]byte, len("first"))
	_, err := io.ReadFull(decode(t, "gzip", response.Body), content)
	require.NoError(t, err)
	assert.Equal(t, "first", string(content))
	close(flushed)
}

type unwrapping struct{ inner http.ResponseWriter }

func (u unwrapping) Header() http.Header         { return u.inner.Header() }
func (u unwrapping) Write(p []byte) (int, error) { return u.inner.Write(p) }
func (u unwrapping) WriteHeader(status int)      { u.inner.WriteHeader(status) }
func (u unwrapping) Unwrap() http.ResponseWriter { return u.inner }

func TestResponse_AddsNothingForAFlushOfNothing(t *testing.T) {
	size := func(flushes int) int {
		server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, page(2000))
			for range flushes {
				w.(http.Flusher).Flush()
			}
		})
		body, err := io.ReadAll(server.get(t, "gzip").Body)
		require.NoError(t, err)
		return len(body)
	}
	assert.Equal(t, size(1), size(100))
}

func TestResponse_PassesInformationalResponsesOn(t *testing.T) {
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Etag", `"v1"`)
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, page(3000))
		})
		var informational []int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
				informational = append(informational, status)
				assert.Equal(t, "</style.css>; rel=preload", header.Get("Link"))
				assert.Equal(t, `"v1"`, header.Get("Etag"))
				assert.Empty(t, header.Get("Content-Encoding"))
				assert.Empty(t, header.Get("Vary"))
				return nil
			},
		})
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		require.NoError(t, err)
		request.Header.Set("Accept-Encoding", c.String())
		response, err := server.Client().Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		assert.Equal(t, []int{102, 103}, informational)
		assert.Equal(t, http.StatusAccepted, response.StatusCode)
		assert.Equal(t, `W/"v1"`, response.Header.Get("Etag"))
		assert.Equal(t, page(3000), decodeAll(t, response))
	})
}

func TestResponse_KeepsTrailers(t *testing.T) {
	for _, length := range []int{0, 10, 70_000} {
		eachWay(t, func(t *testing.T, protocol string, c coding) {
			server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("Trailer", "Checksum")
				w.WriteHeader(http.StatusOK)
				_, _ = io.WriteString(w, page(length))
				w.Header().Set("Checksum", "42")
				w.Header().Set(http.TrailerPrefix+"Unannounced", "43")
			})
			response := server.get(t, c.String())
			assert.Equal(t, page(length), decodeAll(t, response))
			// A decoder may stop at the end of its stream; the trailers come after it.
			_, err := io.Copy(io.Discard, response.Body)
			require.NoError(t, err)
			assert.Equal(t, "42", response.Trailer.Get("Checksum"))
			assert.Equal(t, "43", response.Trailer.Get("Unannounced"))
			assert.Empty(t, response.Header.Get("Checksum"))
		})
	}
}

func TestResponse_HasNoCodingWhereThereIsNoContent(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"returns":            func(w http.ResponseWriter, r *http.Request) {},
		"writes the head":    func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) },
		"writes empty parts": func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(nil); _, _ = w.Write(nil) },
	} {
		eachWay(t, func(t *testing.T, protocol string, c coding) {
			t.Run(name, func(t *testing.T) {
				server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/html")
					w.Header().Set("Etag", `"v1"`)
					handler(w, r)
				})
				response := server.get(t, c.String())
				assert.Equal(t, http.StatusOK, response.StatusCode)
				assert.Empty(t, response.Header["Content-Encoding"])
				assert.Equal(t, []string{"Accept-Encoding"}, response.Header["Vary"])
				assert.Equal(t, []string{`"v1"`}, response.Header["Etag"])
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				assert.Empty(t, body)
			})
		})
	}
}

func TestResponse_EndsTheStreamWhereOnlyTheHeadWasFlushed(t *testing.T) {
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.(http.Flusher).Flush()
		})
		response := server.get(t, c.String())
		assert.Equal(t, c.String(), response.Header.Get("Content-Encoding"))
		assert.Empty(t, decodeAll(t, response))
	})
}

func TestResponse_WritesTheHeadOnce(t *testing.T) {
	for _, accepted := range []string{"gzip", "identity"} {
		wrap, err := New(Options{})
		require.NoError(t, err)
		var got []int
		handler := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, "tea")
		}))
		r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
		r.Header.Set("Accept-Encoding", accepted)
		handler.ServeHTTP(&heads{httptest.NewRecorder(), &got}, r)
		// The second one reaches net/http, which logs who wrote it and ignores it.
		assert.Equal(t, []int{http.StatusTeapot, http.StatusOK}, got)
	}
}

// heads notes each status that is written.
type heads struct {
	http.ResponseWriter
	got *[]int
}

func (h *heads) WriteHeader(status int) {
	*h.got = append(*h.got, status)
	h.ResponseWriter.WriteHeader(status)
}

func TestResponse_CanBeHijacked(t *testing.T) {
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer connection.Close()
		_, _ = buffer.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = buffer.Flush()
		line, _ := buffer.ReadString('\n')
		_, _ = io.WriteString(connection, line)
	})
	echoes(t, server)
}

func TestResponse_LeavesAnUpgradeAlone(t *testing.T) {
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusSwitchingProtocols)
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer connection.Close()
		line, _ := buffer.ReadString('\n')
		_, _ = io.WriteString(connection, line)
	})
	echoes(t, server)
}

// echoes upgrades a connection and has a line come back.
func echoes(t *testing.T, server *site) {
	t.Helper()
	connection, err := net.DialTimeout("tcp", server.Listener.Addr().String(), 30*time.Second)
	require.NoError(t, err)
	defer connection.Close()
	require.NoError(t, connection.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(connection, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"+
		"Accept-Encoding: gzip\r\n\r\nhello\n")
	require.NoError(t, err)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	assert.Empty(t, response.Header["Content-Encoding"])
	assert.Empty(t, response.Header["Vary"])
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "hello\n", line)
}

func TestResponse_LetsAControllerReachWhatIsBelow(t *testing.T) {
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		assert.NoError(t, controller.SetWriteDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, controller.SetReadDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, controller.EnableFullDuplex())
	})
	server.get(t, "gzip")
}

func TestResponse_LetsNoContentPastTheEncoder(t *testing.T) {
	text := page(200_000)
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		_, readsFrom := w.(io.ReaderFrom)
		assert.False(t, readsFrom)
		_, writesStrings := w.(io.StringWriter)
		assert.False(t, writesStrings)
		w.Header().Set("Content-Type", "text/plain")
		n, err := io.Copy(w, strings.NewReader(text))
		assert.NoError(t, err)
		assert.Equal(t, int64(len(text)), n)
	})
	response := server.get(t, "gzip")
	assert.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
	assert.Equal(t, text, decodeAll(t, response))
}

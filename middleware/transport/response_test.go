package transport

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestTransport_GivesTheAnswerAsItCame(t *testing.T) {
	front := newFront(t, answering(t, "HTTP/1.1 418 short and stout\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\nServer: backend/1\r\n"+
		"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\n\r\n<html"), setting{})
	c := front.connect(t)
	c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	assert.Equal(t, []string{
		"HTTP/1.1 418 I'm a teapot", "Content-Length: 5", "Date: Mon, 01 Jan 2001 00:00:00 GMT", "Server: backend/1",
		"Set-Cookie: a=1", "Set-Cookie: b=2", "Connection: close", "", "<html",
	}, strings.Split(c.rest(), "\r\n"))
	state := front.state(t)
	assert.Equal(t, 418, state.Status)
	assert.EqualValues(t, 5, state.Bytes)
	assert.Nil(t, state.Failure)
	assert.False(t, state.Sent.IsZero())
	assert.False(t, state.Answered.Before(state.Sent))
	assert.Empty(t, front.log.String())
}

func TestTransport_GuessesNoContentTypeOverHTTP2(t *testing.T) {
	front := newFront(t, answering(t, ok("<html>")), setting{secure: true})
	response, body := front.get(t, "/")
	assert.Equal(t, "<html>", body)
	assert.NotContains(t, response.Header, "Content-Type")
}

func TestTransport_KeepsWhatStagesBeforeSet(t *testing.T) {
	front := newFront(t, answering(t, "HTTP/1.1 200 OK\r\nVary: Cookie\r\nContent-Length: 0\r\n\r\n"), setting{
		around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Vary", "Origin")
				next.ServeHTTP(w, r)
			})
		},
	})
	response, _ := front.get(t, "/")
	assert.Equal(t, []string{"Origin", "Cookie"}, response.Header.Values("Vary"))
}

func TestTransport_DropsHopByHopResponseFields(t *testing.T) {
	front := newFront(t, answering(t, "HTTP/1.1 200 OK\r\nConnection: x-none , x-named,\r\nX-Named: 1\r\nKeep-Alive: 5\r\n"+
		"Proxy-Connection: x\r\nProxy-Authenticate: x\r\nUpgrade: h3\r\nTransfer-Encoding: chunked\r\nX-Kept: 1\r\n\r\n0\r\n\r\n"), setting{secure: true})
	response, _ := front.get(t, "/")
	assert.Equal(t, "1", response.Header.Get("X-Kept"))
	for _, name := range []string{"Connection", "X-Named", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Upgrade", "Transfer-Encoding"} {
		assert.NotContains(t, response.Header, name)
	}
}

func TestTransport_GivesContentCodedAsTheBackendDid(t *testing.T) {
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	_, _ = gz.Write([]byte("content"))
	require.NoError(t, gz.Close())
	asked := make(chan http.Header, 1)
	front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}), setting{})
	_, answer := front.exchangeRaw(t, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.Equal(t, packed.String(), answer)
	assert.NotContains(t, receive(t, asked, "request"), "Accept-Encoding")
}

func TestTransport_GivesNoContentWhereThereIsNone(t *testing.T) {
	for _, c := range []struct{ name, method, answer, length string }{
		{"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "1234"},
		{"HEAD without", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", ""},
		{"a length of 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := newFront(t, answering(t, c.answer), setting{})
			conn := front.connect(t)
			conn.send(c.method + " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			response, err := http.ReadResponse(conn.Reader, &http.Request{Method: c.method})
			require.NoError(t, err)
			assert.Equal(t, c.length, response.Header.Get("Content-Length"))
			assert.Empty(t, conn.rest())
			assert.Nil(t, front.state(t).Failure)
		})
	}
}

func TestTransport_KeepsResponseTrailers(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced, X-Never")
		w.Header().Set("X-Both", "header")
		_, _ = io.WriteString(w, "content")
		w.Header().Set("X-Announced", "1")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "2")
		w.Header().Set(http.TrailerPrefix+"X-Both", "3")
	}
	check := func(t *testing.T, front *front) {
		response, body := front.get(t, "/")
		assert.Equal(t, "content", body)
		assert.Equal(t, []string{"header"}, response.Header["X-Both"])
		assert.Equal(t, http.Header{"X-Announced": {"1"}, "X-Never": nil, "X-Unannounced": {"2"}, "X-Both": {"3"}}, response.Trailer)
	}
	each(t, func(t *testing.T, secure bool) {
		t.Run("from HTTP/1.1", func(t *testing.T) { check(t, newFront(t, newBackend(t, handler), setting{secure: secure})) })
		t.Run("from HTTP/2", func(t *testing.T) { check(t, newFront(t, newSecureBackend(t, nil, handler), setting{secure: secure})) })
	})
}

func TestTransport_KeepsTrailersBehindNoContentAtAll(t *testing.T) {
	front := newFront(t, answering(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGrpc-Status: 0\r\nContent-Length: 9\r\n\r\n"), setting{})
	response, body := front.get(t, "/")
	assert.Empty(t, body)
	assert.Equal(t, http.Header{"Grpc-Status": {"0"}}, response.Trailer)
}

func TestTransport_GivesEachPieceWhenItArrives(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		for _, contentType := range []string{"text/event-stream; charset=utf-8", "application/x-ndjson"} {
			t.Run(contentType, func(t *testing.T) {
				next := make(chan struct{})
				end := sync.OnceFunc(func() { close(next) })
				defer end()
				front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", contentType)
					_ = http.NewResponseController(w).Flush()
					for range next {
						_, _ = io.WriteString(w, "data: x\n")
						_ = http.NewResponseController(w).Flush()
					}
				}), setting{secure: secure})
				response, err := front.Client().Do(front.request(t, "GET", "/", nil)) // the head comes by itself
				require.NoError(t, err)
				defer response.Body.Close()
				lines := bufio.NewReader(response.Body)
				for range 3 {
					next <- struct{}{}
					line, err := lines.ReadString('\n')
					require.NoError(t, err)
					assert.Equal(t, "data: x\n", line)
				}
				end()
				_, err = lines.ReadByte()
				assert.Equal(t, io.EOF, err)
			})
		}
	})
}

func TestTransport_GivesEventsOfAKnownLengthWhenTheyArrive(t *testing.T) {
	next := make(chan struct{})
	end := sync.OnceFunc(func() { close(next) })
	defer end()
	front := newFront(t, newRawBackend(t, func(c *wire) {
		if c.head() == "" {
			return
		}
		c.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 4\r\n\r\na\n")
		<-next
		c.send("b\n")
	}), setting{})
	response, err := front.Client().Do(front.request(t, "GET", "/", nil))
	require.NoError(t, err)
	defer response.Body.Close()
	first := make([]byte, 2)
	_, err = io.ReadFull(response.Body, first)
	require.NoError(t, err)
	end()
	rest, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "a\nb\n", string(first)+string(rest))
}

func TestTransport_StreamsBothWaysAtOnce(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			_ = control.EnableFullDuplex()
			w.WriteHeader(http.StatusOK)
			_ = control.Flush()
			lines := bufio.NewReader(r.Body)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = io.WriteString(w, strings.ToUpper(line))
				_ = control.Flush()
			}
		}), setting{secure: secure})
		up, feed := io.Pipe()
		defer feed.Close()
		response, err := front.Client().Do(front.request(t, "POST", "/", up))
		require.NoError(t, err)
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		for _, word := range []string{"a", "b", "c"} {
			_, err := io.WriteString(feed, word+"\n")
			require.NoError(t, err)
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, strings.ToUpper(word)+"\n", line)
		}
		require.NoError(t, feed.Close())
		_, err = lines.ReadByte()
		assert.Equal(t, io.EOF, err)
		assert.Nil(t, front.state(t).Failure)
	})
}

func TestTransport_StreamsLargeBodies(t *testing.T) {
	const size = 8 << 20
	each(t, func(t *testing.T, secure bool) {
		front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			_, _ = io.CopyN(w, zeros{}, n)
		}), setting{secure: secure})
		for _, known := range []bool{true, false} {
			request := front.request(t, "POST", "/", io.LimitReader(zeros{}, size))
			if known {
				request.ContentLength = size
			}
			response, err := front.Client().Do(request)
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.EqualValues(t, size, n)
			assert.EqualValues(t, size, front.state(t).Bytes)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTransport_ReadsNoRequestOutOfTheBodyOfOneAnsweredEarly(t *testing.T) {
	asked := make(chan string, 10)
	backend := newRawBackend(t, func(c *wire) {
		head := c.head()
		if head == "" {
			return
		}
		asked <- head
		c.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		c.rest()
	})
	for _, framing := range []string{"Content-Length: 100000", "Transfer-Encoding: chunked"} {
		t.Run(framing, func(t *testing.T) {
			front := newFront(t, backend, setting{})
			c := front.connect(t)
			c.send("POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n")
			receive(t, asked, "request")
			response, err := http.ReadResponse(c.Reader, nil)
			require.NoError(t, err)
			assert.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
			assert.True(t, response.Close, "the connection is of no more use")
			c.send("xx\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			assert.Equal(t, "no", string(body))
			c.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
			assert.NotContains(t, c.rest(), "HTTP/")
			assert.Empty(t, asked)
		})
	}
}

func TestTransport_KeepsTheClientsConnectionAfterAnUpload(t *testing.T) {
	front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), setting{})
	c := front.connect(t)
	for range 20 {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
		response, err := http.ReadResponse(c.Reader, nil)
		require.NoError(t, err)
		require.False(t, response.Close)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
		response, err = http.ReadResponse(c.Reader, nil)
		require.NoError(t, err)
		require.False(t, response.Close)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
	}
}

func TestTransport_CutsAnAnswerThatTheBackendDidNotFinish(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"with a length", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000)},
		{"in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx"},
		{"between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"},
		{"with a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, secure bool) {
				backend := answering(t, c.answer)
				front := newFront(t, backend, setting{secure: secure})
				response, err := front.Client().Do(front.request(t, "GET", "/", nil))
				if err == nil { // or else not even the head had left
					_, err = io.ReadAll(response.Body)
					response.Body.Close()
				}
				assert.Error(t, err)
				state := front.state(t)
				require.NotNil(t, state.Failure)
				assert.Equal(t, http.StatusBadGateway, state.Failure.Status)
				assert.False(t, state.Answered.IsZero())
				assert.Equal(t, 1, strings.Count(front.log.String(), "level=WARN"), front.log.String())
				assert.Contains(t, front.log.String(), backend.String())
			})
		})
	}
}

func TestTransport_CancelsTheBackendsRequestWhenTheClientLeaves(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		for _, c := range []struct {
			name   string
			status int // of the answer that has begun, 0 for none
			upload bool
		}{
			{"before the answer", 0, false},
			{"in the middle of the answer", 200, false},
			{"in the middle of the upload", 0, true},
			{"in the middle of both", 200, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				begun, gone := make(chan struct{}), make(chan struct{})
				front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).EnableFullDuplex()
					if c.upload {
						_, _ = r.Body.Read(make([]byte, 1))
					}
					if c.status != 0 {
						w.WriteHeader(c.status)
						_ = http.NewResponseController(w).Flush()
					}
					close(begun)
					if c.upload {
						_, err := io.Copy(io.Discard, r.Body)
						assert.Error(t, err)
					} else {
						<-r.Context().Done()
					}
					close(gone)
				}), setting{secure: secure})
				ctx, leave := context.WithCancel(t.Context())
				request := front.request(t, "POST", "/", nil)
				if c.upload {
					body, feed := io.Pipe()
					stop := leave // net/http's client waits for its body even then
					leave = func() { stop(); feed.CloseWithError(context.Canceled) }
					defer leave()
					request = front.request(t, "POST", "/", body)
					go func() { _, _ = io.WriteString(feed, "something") }()
				}
				ended := make(chan error, 1)
				go func() {
					response, err := front.Client().Do(request.WithContext(ctx))
					if err == nil {
						_, err = io.ReadAll(response.Body)
						response.Body.Close()
					}
					ended <- err
				}()
				receive(t, begun, "request at the backend")
				leave()
				receive(t, gone, "end of the backend's request")
				assert.Error(t, receive(t, ended, "end of the client's request"))
				state := front.state(t)
				require.NotNil(t, state.Failure)
				assert.Equal(t, pipeline.StatusClientLeft, state.Failure.Status)
				assert.False(t, state.Failure.Repeatable)
				assert.NotContains(t, front.log.String(), "level=WARN")
				assert.Contains(t, front.log.String(), "level=DEBUG")
			})
		}
	})
}

func TestTransport_AnswersNothingToAClientThatLeft(t *testing.T) {
	begun := make(chan struct{})
	front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}), setting{})
	c := front.connect(t)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, begun, "request at the backend")
	require.NoError(t, c.Conn.(interface{ CloseWrite() error }).CloseWrite()) // it could still read a lie
	assert.Empty(t, c.rest())
}

func TestTransport_UsesAConnectionAgainAndOutlivesItsEnd(t *testing.T) {
	served := make(chan struct{}, 100)
	backend := newRawBackend(t, func(c *wire) {
		for range 2 { // and then it closes without a word
			if c.head() == "" {
				return
			}
			served <- struct{}{}
			c.send(ok("x"))
		}
	})
	front := newFront(t, backend, setting{state: func(s *pipeline.State) { s.MayRetry = false }})
	for range 20 {
		response, body := front.get(t, "/")
		require.Equal(t, http.StatusOK, response.StatusCode, body)
	}
	assert.Len(t, served, 20)
}

func TestTransport_KeepsNoMoreIdleConnectionsThanItMayAndNoLonger(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		clients int
	}{
		{"more than one", Options{MaxIdlePerBackend: 1}, 2},
		{"for longer", Options{IdleTimeout: 10 * time.Millisecond}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived, answer, ends := make(chan struct{}, 2), make(chan struct{}), make(chan error, 2)
			front := newFront(t, newRawBackend(t, func(w *wire) {
				defer context.AfterFunc(t.Context(), func() { w.Conn.Close() })() // one that may be kept is
				w.head()
				arrived <- struct{}{}
				<-answer
				w.send(ok("x"))
				_, err := w.ReadByte()
				ends <- err
			}), setting{options: c.options})
			release := sync.OnceFunc(func() { close(answer) })
			defer release()
			for range c.clients {
				go front.Client().Do(front.request(t, "GET", "/", nil))
				receive(t, arrived, "request at the backend")
			}
			release()
			for range c.clients {
				assert.Equal(t, http.StatusOK, front.state(t).Status)
			}
			assert.ErrorIs(t, receive(t, ends, "end of a connection"), io.EOF)
		})
	}
}

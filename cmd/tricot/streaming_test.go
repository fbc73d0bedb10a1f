package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// oneByOne sends a server-sent event each time that the test has seen the one before.
type oneByOne struct{ seen chan struct{} }

func (o oneByOne) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n := 0; ; n++ {
		fmt.Fprintf(w, "data: event %d\n\n", n)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-o.seen:
		case <-r.Context().Done():
			return
		}
	}
}

func (o oneByOne) assertLive(t *testing.T, stream io.Reader) {
	t.Helper()
	lines := bufio.NewReader(stream)
	for n := range 20 {
		for _, want := range []string{fmt.Sprintf("data: event %d\n", n), "\n"} {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, want, line)
		}
		o.seen <- struct{}{}
	}
}

func TestStreaming_KeepsServerSentEventsLive(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, protocol protocol) {
		events := oneByOne{make(chan struct{})}
		p := start(t, nil, serve(t, events.serve).service(t, "web", "tricot app.test"))
		stream := open(t, p.client(t, protocol), newRequest(t, http.MethodGet, "https://app.test/", nil))
		assert.Equal(t, "text/event-stream", stream.Header.Get("Content-Type"))
		events.assertLive(t, stream.Body)
	})
}

func TestStreaming_KeepsCompressedServerSentEventsLive(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, protocol protocol) {
		events := make(map[string]oneByOne) // by coding: a stream that is just ending must not take what is for the next
		var services []service
		for coding := range decoders {
			events[coding] = oneByOne{make(chan struct{})}
			services = append(services, serve(t, events[coding].serve).service(t, coding, "tricot app.test/"+coding))
		}
		p := start(t, config{"middleware.compress.enabled": true, "middleware.compress.mime_types": []string{"text/event-stream"}},
			services...)
		client := p.client(t, protocol)
		for coding, decoder := range decoders {
			stream := open(t, client, newRequest(t, http.MethodGet, "https://app.test/"+coding, nil, "Accept-Encoding", coding))
			require.Equal(t, coding, stream.Header.Get("Content-Encoding"))
			events[coding].assertLive(t, decoder(t, stream.Body))
			require.NoError(t, stream.Body.Close())
		}
	})
}

func TestStreaming_FlowsBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, nil, serve(t, echo).service(t, "web", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		body, up := io.Pipe()
		// A client that gives up waits for its body first.
		defer time.AfterFunc(patience, func() { _ = up.CloseWithError(errors.New("no answer in time")) }).Stop()
		response := open(t, p.client(t, protocol), newRequest(t, http.MethodPost, "https://app.test/", body))
		down := bufio.NewReader(response.Body)
		for n := range 20 {
			fmt.Fprintf(up, "line %d\n", n)
			line, err := down.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("echo line %d\n", n), line)
		}
		require.NoError(t, up.Close())
		rest, err := io.ReadAll(down)
		require.NoError(t, err)
		assert.Empty(t, rest)
	})
}

func TestStreaming_KeepsTrailersBothWays(t *testing.T) {
	t.Parallel()
	web := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Announced", "yes")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "yes")
		w.Header().Set(http.TrailerPrefix+"X-Got", r.Trailer.Get("X-From-Client"))
	})
	p := start(t, nil, web.service(t, "web", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		request := newRequest(t, http.MethodPost, "https://app.test/", nil)
		request.Trailer = http.Header{"X-From-Client": nil}
		// The reader has no known length, so that the body is chunked, and sets the trailer at its end.
		request.Body = io.NopCloser(io.MultiReader(strings.NewReader("body"), atEnd(func() {
			request.Trailer.Set("X-From-Client", "passed on")
		})))
		reply := send(t, p.client(t, protocol), request)
		assert.Equal(t, "body", reply.body)
		assert.Equal(t, "yes", reply.Trailer.Get("X-Announced"))
		assert.Equal(t, "yes", reply.Trailer.Get("X-Unannounced"))
		assert.Equal(t, "passed on", reply.Trailer.Get("X-Got"))
	})
}

// atEnd is an empty reader that does something when it is read.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

func TestStreaming_PassesEarlyHintsOn(t *testing.T) {
	t.Parallel()
	web := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Link", "</script.js>; rel=preload; as=script")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "whole")
	})
	p := start(t, nil, web.service(t, "web", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		var mu sync.Mutex
		var hints []string
		request := newRequest(t, http.MethodGet, "https://app.test/", nil)
		request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				mu.Lock()
				defer mu.Unlock()
				if code == http.StatusEarlyHints {
					hints = append(hints, header.Get("Link"))
				}
				return nil
			},
		}))
		reply := send(t, p.client(t, protocol), request)
		assert.Equal(t, "whole", reply.body)
		assert.Empty(t, reply.Header.Get("Link"))
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []string{"</style.css>; rel=preload; as=style", "</script.js>; rel=preload; as=script"}, hints)
	})
}

func TestStreaming_AsksForTheBodyWhenTheBackendReadsIt(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	web := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		close(entered)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	p := start(t, nil, web.service(t, "web", "tricot app.test"))
	const head = " HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

	conn := p.dialTLS(t, "app.test")
	answer := bufio.NewReader(conn)
	_, err := io.WriteString(conn, "POST /read"+head)
	require.NoError(t, err)
	<-entered
	response, err := http.ReadResponse(answer, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, response.StatusCode)
	_, err = io.WriteString(conn, "hello")
	require.NoError(t, err)
	response, err = http.ReadResponse(answer, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))

	conn = p.dialTLS(t, "app.test")
	_, err = io.WriteString(conn, "POST /refuse"+head)
	require.NoError(t, err)
	response, err = http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusForbidden, response.StatusCode, "and no 100 before it")
}

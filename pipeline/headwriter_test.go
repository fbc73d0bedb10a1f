package pipeline

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counting sets the number of times that it has been asked to set the head.
type counting struct {
	HeadWriter
	calls int
	saw   http.Header
}

func (c *counting) SetHead(header http.Header) {
	c.calls++
	c.saw = header.Clone()
	header.Set("X-Set", "late")
}

// behind serves a handler behind a HeadWriter.
func behind(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *counting) {
	t.Helper()
	c := &counting{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.Begin(w, c)
		handler(c, r)
		c.End()
	}))
	t.Cleanup(server.Close)
	return server, c
}

func TestHeadWriter_SetsTheHeadOnceHoweverTheResponseBegins(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(w http.ResponseWriter)
		status  int
		body    string
	}{
		"not at all":        {func(http.ResponseWriter) {}, 200, ""},
		"with a head":       {func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }, 418, ""},
		"with content":      {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") }, 200, "hello"},
		"with a flush":      {func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }, 200, ""},
		"with an old flush": {func(w http.ResponseWriter) { w.(http.Flusher).Flush() }, 200, ""},
		"with a copy":       {func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("hello")) }, 200, "hello"},
		"with all of them": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "hello, ")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "world")
		}, 202, "hello, world"},
	} {
		t.Run(name, func(t *testing.T) {
			server, head := behind(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Theirs", "early")
				c.handler(w)
			})
			response, err := server.Client().Get(server.URL)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			server.Close() // waits for the handler
			assert.Equal(t, c.status, response.StatusCode)
			assert.Equal(t, c.body, string(body))
			assert.Equal(t, []string{"late"}, response.Header["X-Set"])
			assert.Equal(t, 1, head.calls)
			assert.Equal(t, http.Header{"X-Theirs": {"early"}}, head.saw)
		})
	}
}

func TestHeadWriter_FlushesAtOnceAndSaysWhereThatCannotBe(t *testing.T) {
	read := make(chan struct{})
	server, _ := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first")
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-read
	})
	response, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	_, err = io.ReadFull(response.Body, make([]byte, len("first")))
	assert.NoError(t, err)
	close(read)
	require.NoError(t, response.Body.Close())

	c := &counting{}
	c.Begin(struct{ http.ResponseWriter }{httptest.NewRecorder()}, c)
	assert.ErrorIs(t, c.FlushError(), http.ErrNotSupported)
}

func TestHeadWriter_SparesInformationalResponsesAndSetsTheHeadOfASwitchOfProtocols(t *testing.T) {
	server, head := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProcessing)
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = buffered.WriteString("taken")
			_ = buffered.Flush()
			_ = conn.Close()
		}
	})
	heads := exchanged(t, server)
	require.Len(t, heads, 4)
	assert.Equal(t, "HTTP/1.1 102 Processing", heads[0])
	assert.Equal(t, "HTTP/1.1 103 Early Hints", heads[1])
	assert.Contains(t, heads[2], "HTTP/1.1 101 Switching Protocols\r\n")
	assert.Contains(t, heads[2], "X-Set: late")
	assert.Equal(t, "taken", heads[3])
	server.Close()
	assert.Equal(t, 1, head.calls)
}

func TestHeadWriter_LeavesAConnectionAloneThatIsTakenOverBeforeAnyHead(t *testing.T) {
	server, _ := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 By Hand\r\n\r\ntaken")
			_ = conn.Close()
		}
	})
	assert.Equal(t, []string{"HTTP/1.1 101 By Hand", "taken"}, exchanged(t, server))
}

// exchanged gives all that answers a request, in the parts between empty lines.
func exchanged(t *testing.T, server *httptest.Server) []string {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	all, err := io.ReadAll(bufio.NewReader(conn))
	require.NoError(t, err)
	return strings.Split(string(all), "\r\n\r\n")
}

func TestHeadWriter_LetsAControllerReachTheServersOwn(t *testing.T) {
	server, head := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Time{}))
		assert.NoError(t, http.NewResponseController(w).EnableFullDuplex())
	})
	response, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	server.Close()
	assert.Equal(t, 1, head.calls)
	w := httptest.NewRecorder()
	head.Begin(w, head)
	assert.Same(t, w, head.Unwrap())
}

func TestHeadWriter_ServesOneRequestAfterAnotherAndKeepsNothingOfThem(t *testing.T) {
	c := &counting{}
	for calls := range 3 {
		w := httptest.NewRecorder()
		c.Begin(w, c)
		c.WriteHeader(http.StatusNoContent)
		c.End()
		assert.Equal(t, http.StatusNoContent, w.Code)
		assert.Equal(t, "late", w.Header().Get("X-Set"))
		assert.Equal(t, calls+1, c.calls)
		assert.Equal(t, HeadWriter{}, c.HeadWriter)
	}
}

func TestHeadWriter_AllocatesNothing(t *testing.T) {
	c := &idle{}
	w := httptest.NewRecorder()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		c.Begin(w, c)
		c.WriteHeader(http.StatusNoContent)
		c.End()
	}))
}

type idle struct{ HeadWriter }

func (*idle) SetHead(http.Header) {}

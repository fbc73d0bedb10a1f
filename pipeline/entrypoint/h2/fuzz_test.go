package h2

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
	"github.com/tricot-proxy/tricot/pipeline/http1"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// scripted is a server whose clients say all at once what they have to say. Its connections are in memory.
type scripted struct {
	*Server
	tls *tls.Config

	mu    sync.Mutex
	wrong error // what a handler was given and must not be
}

func newScripted(f *testing.F) *scripted {
	s := &scripted{tls: servertest.ServerTLS(f, "h2")}
	s.Server = NewServer(Options{
		Handler: s, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute, ProgressTimeout: time.Minute,
		MaxHeaderBytes: 10_000, Log: slog.New(slog.DiscardHandler),
	})
	f.Cleanup(s.Close)
	return s
}

// check says what no handler may be given.
func check(r *http.Request) error {
	switch {
	case !http1.IsToken(r.Method):
		return errors.New("method " + r.Method)
	case r.Host != "" && !http1.IsHost(r.Host):
		return errors.New("host " + r.Host)
	case r.Method != http.MethodConnect && !strings.HasPrefix(r.RequestURI, "/") && r.RequestURI != "*":
		return errors.New("target " + r.RequestURI)
	case strings.ContainsAny(r.RequestURI, " \t\r\n#\x00\x7f"):
		return errors.New("target " + r.RequestURI)
	}
	for name, values := range r.Header {
		if !http1.IsToken(name) || http.CanonicalHeaderKey(name) != name || isConnectionSpecific(name) {
			return errors.New("field " + name)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) || strings.TrimSpace(value) != value {
				return errors.New("value " + value)
			}
		}
	}
	return nil
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := check(r)
	content, read := io.ReadAll(r.Body)
	if read == nil && r.ContentLength >= 0 && int64(len(content)) != r.ContentLength {
		err = errors.New("content of another length than announced")
	}
	if err != nil {
		s.mu.Lock()
		s.wrong = err
		s.mu.Unlock()
	}
	_, _ = w.Write(content)
}

// run has a client say something behind its preface, and reads what it gets until the connection ends.
func (s *scripted) run(t *testing.T, said []byte) {
	near, far := net.Pipe()
	client := tls.Client(near, servertest.ClientTLS("h2"))
	answers := make(chan error, 1)
	said = append([]byte(http2.ClientPreface), said...)
	go func() {
		if err := client.Handshake(); err != nil {
			answers <- err
			return
		}
		go func() {
			_, _ = client.Write(said) // the server may have ended the connection
			_ = client.CloseWrite()
		}()
		answers <- frames(client)
	}()
	server := tls.Server(far, s.tls)
	require.NoError(t, server.Handshake())
	c := newConn(s.Server, server)
	c.serve()
	_ = near.Close()
	require.NoError(t, <-answers)
	deadline := time.Now().Add(longest)
	for locked(c, func() bool { return c.busy > 0 }) {
		require.False(t, time.Now().After(deadline), "a handler hangs")
		runtime.Gosched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NoError(t, s.wrong)
}

// frames reads frames until the connection ends, and says whether one was wrong.
func frames(from io.Reader) error {
	framer := http2.NewFramer(io.Discard, from)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(1 << 31)
	for {
		_, err := framer.ReadFrame()
		var stream http2.StreamError
		var connection http2.ConnectionError
		switch {
		case errors.As(err, &stream), errors.As(err, &connection):
			return err
		case err != nil:
			return nil
		}
	}
}

// saying makes frames.
func saying(say func(w *http2.Framer)) []byte {
	var b bytes.Buffer
	say(http2.NewFramer(&b, nil))
	return b.Bytes()
}

func blockOf(fields ...string) []byte {
	var b bytes.Buffer
	encoder := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

func FuzzServe_OutlastsAnyFrames(f *testing.F) {
	head := func(w *http2.Framer, id uint32, ends bool, fields ...string) {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: ends, EndHeaders: true, BlockFragment: blockOf(append(
			[]string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/"}, fields...)...)})
	}
	for _, say := range []func(w *http2.Framer){
		func(*http2.Framer) {},
		func(w *http2.Framer) { head(w, 1, true) },
		func(w *http2.Framer) {
			head(w, 1, false, "content-length", "5", "trailer", "x-a")
			_ = w.WriteDataPadded(1, false, []byte("hello"), make([]byte, 7))
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: blockOf("x-a", "1")})
		},
		func(w *http2.Framer) {
			for id := range uint32(5) {
				head(w, 2*id+1, false, "expect", "100-continue")
			}
			_ = w.WriteData(3, true, bytes.Repeat([]byte("x"), maxFrame))
			_ = w.WriteRSTStream(5, http2.ErrCodeCancel)
			_ = w.WriteSettings(initialWindow(1), http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
			_ = w.WriteWindowUpdate(3, 1000)
			_ = w.WritePing(false, [8]byte{1})
			_ = w.WriteData(1, true, nil)
		},
		func(w *http2.Framer) {
			block := blockOf(":method", "GET", ":scheme", "https", ":path", "/x?y", "host", "a", "cookie", "b=c")
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: block[:4], PadLength: 3,
				Priority: http2.PriorityParam{StreamDep: 7, Weight: 5}})
			_ = w.WriteContinuation(1, false, block[4:9])
			_ = w.WriteContinuation(1, true, block[9:])
			_ = w.WriteGoAway(0, http2.ErrCodeNo, []byte("bye"))
			_ = w.WriteRawFrame(0x20, 0xff, 1, []byte("an extension"))
		},
	} {
		f.Add(saying(func(w *http2.Framer) {
			_ = w.WriteSettings()
			say(w)
		}))
	}
	s := newScripted(f)
	f.Fuzz(func(t *testing.T, said []byte) { s.run(t, said) })
}

func FuzzServe_GivesNoHandlerAMalformedRequest(f *testing.F) {
	for _, seed := range []struct{ method, authority, path, name, value, content string }{
		{"GET", "app.example.com", "/", "x-a", "1", ""},
		{"POST", "[::1]:8443", "/a%2f?b=c", "content-length", "5", "hello"},
		{"CONNECT", "a:443", "", "x", "", ""},
		{"OPTIONS", "", "*", "host", "a", ""},
		{"GET", "a", "/\r\n", "X-A", "a\r\nb", ""},
		{"GET /", "a b", "http://b/", "connection", "close", ""},
		{"PUT", "a", "/", "transfer-encoding", "chunked", "0\r\n\r\n"},
		{"GET", "a", "/#x", ":path", "/y", ""},
		{"GET", "a@b", "/ x", "te", "trailers", ""},
	} {
		f.Add(seed.method, seed.authority, seed.path, seed.name, seed.value, seed.content)
	}
	s := newScripted(f)
	f.Fuzz(func(t *testing.T, method, authority, path, name, value, content string) {
		block := blockOf(":method", method, ":scheme", "https", ":authority", authority, ":path", path, name, value)
		if method == http.MethodConnect {
			block = blockOf(":method", method, ":authority", authority, name, value)
		}
		s.run(t, saying(func(w *http2.Framer) {
			_ = w.WriteSettings()
			first := block[:min(len(block), maxFrame)]
			whole := len(first) == len(block)
			_ = w.WriteHeaders(http2.HeadersFrameParam{
				StreamID: 1, EndStream: content == "", EndHeaders: whole, BlockFragment: first,
			})
			if !whole {
				_ = w.WriteContinuation(1, true, block[len(first):])
			}
			if content != "" {
				_ = w.WriteData(1, true, []byte(content))
			}
		}))
	})
}

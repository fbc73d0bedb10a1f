package entrypoint

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

func protocol(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }

func TestServe_SpeaksTheProtocolThatALPNChose(t *testing.T) {
	options, _ := secure(t, protocol)
	e := serve(t, options)
	for _, c := range []struct {
		http2 bool
		want  string
	}{{false, "HTTP/1.1"}, {true, "HTTP/2.0"}} {
		response, err := client(t, c.http2).Get(url(e))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		_ = response.Body.Close()
		assert.Equal(t, c.want, string(body))
	}
}

func TestServe_SpeaksHTTP1OnThePlainPort(t *testing.T) {
	options, _ := plain(protocol)
	c := dial(t, serve(t, options))
	_, body := ask(t, c, bufio.NewReader(c), get)
	assert.Equal(t, "HTTP/1.1", body)
}

func TestServe_GivesTheHandlerEveryRequestEvenOptionsStar(t *testing.T) {
	options, _ := plain(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.RequestURI) })
	c := dial(t, serve(t, options))
	_, body := ask(t, c, bufio.NewReader(c), "OPTIONS * HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
	assert.Equal(t, "OPTIONS *", body)
}

func TestServe_RefusesTLSBelow12(t *testing.T) {
	options, log := secure(t, protocol)
	options.TLS.MinVersion = tls.VersionTLS10
	e := serve(t, options)
	for version, accepted := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		c := tls.Client(dial(t, e), &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		assert.Equal(t, accepted, c.Handshake() == nil, tls.VersionName(version))
	}
	log.Await(t, "level=DEBUG msg=server entrypoint=https error=\"http: TLS handshake error")
	assert.Equal(t, uint16(tls.VersionTLS10), options.TLS.MinVersion, "the caller's configuration is not touched")
	assert.Empty(t, options.TLS.NextProtos)
}

func TestServe_KeepsAHigherLowestVersion(t *testing.T) {
	options, _ := secure(t, protocol)
	options.TLS.MinVersion = tls.VersionTLS13
	c := tls.Client(dial(t, serve(t, options)), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	assert.Error(t, c.Handshake())
}

func TestServe_TellsWhoSpeaksHTTPToTheTLSPort(t *testing.T) {
	options, _ := secure(t, protocol)
	c := dial(t, serve(t, options))
	response, _ := ask(t, c, bufio.NewReader(c), get)
	assert.Equal(t, http.StatusBadRequest, response.StatusCode)
}

func TestServe_AnswersALongHeadWith431(t *testing.T) {
	options, _ := plain(protocol)
	options.MaxHeaderBytes = 8 << 10
	e := serve(t, options)
	for length, want := range map[int]int{4 << 10: 200, 16 << 10: 431} {
		c := dial(t, e)
		response, _ := ask(t, c, bufio.NewReader(c),
			"GET / HTTP/1.1\r\nHost: a\r\nX-Long: "+strings.Repeat("~", length)+"\r\n\r\n")
		assert.Equal(t, want, response.StatusCode, "%d bytes", length)
	}
}

func TestServe_AnswersALongHTTP2HeadWith431(t *testing.T) {
	options, _ := secure(t, protocol)
	options.MaxHeaderBytes = 8 << 10
	e := serve(t, options)
	// Where one header alone is above the limit, or all of them twice, net/http closes the connection instead.
	for headers, want := range map[int]string{4: "200", 10: "431"} {
		c := handshake(t, e, "h2")
		framer := openHTTP2(t, c)
		require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: 1, BlockFragment: headBlock(t, headers), EndStream: true, EndHeaders: true,
		}))
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		for {
			frame, err := framer.ReadFrame()
			require.NoError(t, err)
			if head, ok := frame.(*http2.MetaHeadersFrame); ok {
				assert.Equal(t, want, head.PseudoValue("status"), "%d KiB", headers)
				break
			}
		}
	}
}

func TestServe_AnnouncesItsHTTP2Limits(t *testing.T) {
	options, _ := secure(t, protocol)
	options.MaxHeaderBytes = 8 << 10
	c := handshake(t, serve(t, options), "h2")
	framer := openHTTP2(t, c)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	frame, err := framer.ReadFrame()
	require.NoError(t, err)
	settings := frame.(*http2.SettingsFrame)
	for id, want := range map[http2.SettingID]uint32{
		http2.SettingMaxConcurrentStreams: 250,
		http2.SettingInitialWindowSize:    1 << 20,
	} {
		got, ok := settings.Value(id)
		assert.True(t, ok, id)
		assert.Equal(t, want, got, id)
	}
	list, ok := settings.Value(http2.SettingMaxHeaderListSize)
	assert.True(t, ok)
	assert.InDelta(t, 8<<10, list, 1<<10)
	for {
		frame, err := framer.ReadFrame()
		require.NoError(t, err)
		if update, ok := frame.(*http2.WindowUpdateFrame); ok {
			assert.Equal(t, uint32(3<<20-65535), update.Increment, "the connection's window")
			break
		}
	}
}

func TestServe_TakesAnUploadWholeOverHTTP2(t *testing.T) {
	options, _ := secure(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		_, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%x %v", sum.Sum(nil), err)
	})
	upload := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB, more than any window
	response, err := client(t, true).Post(url(serve(t, options)), "application/octet-stream", bytes.NewReader(upload))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("%x <nil>", sha256.Sum256(upload)), string(body))
}

func TestServe_LogsAPanicOnceWithItsStackAndClosesTheConnection(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			options, log := secure(t, panics)
			_, err := client(t, http2).Get(url(serve(t, options)))
			require.Error(t, err)
			log.Await(t, "level=ERROR")
			assert.Equal(t, 1, log.Count("out of cheese"), log)
			assert.Contains(t, log.String(), "entrypoint.panics", "the stack names who panicked")
			assert.NotContains(t, log.String(), "level=WARN")
		})
	}
}

func panics(http.ResponseWriter, *http.Request) { panic("out of cheese") }

func TestServe_CutsAResponseSilentlyForErrAbortHandler(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			options, log := secure(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
			e := serve(t, options)
			response, err := client(t, http2).Get(url(e))
			require.NoError(t, err)
			defer response.Body.Close()
			_, err = io.ReadAll(response.Body)
			assert.Error(t, err)
			require.NoError(t, e.requests.wait(within(t)))
			assert.NotContains(t, log.String(), "panic")
		})
	}
}

func TestServe_ReturnsNilWhereItWasClosedBefore(t *testing.T) {
	options, _ := plain(protocol)
	e, err := Listen(options)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	assert.NoError(t, e.Serve())
}

func TestClose_FreesThePortOfAnEntrypointThatNeverServed(t *testing.T) {
	options, _ := plain(protocol)
	e, err := Listen(options)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	options.Addr = e.Addr().String()
	again, err := Listen(options)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestServe_TellsOfEachHandshake(t *testing.T) {
	type told struct {
		state tls.ConnectionState
		err   error
	}
	options, _ := secure(t, func(http.ResponseWriter, *http.Request) {})
	all := make(chan told, 10)
	options.Handshake = func(state tls.ConnectionState, err error) { all <- told{state, err} }
	e := serve(t, options)
	for _, protocol := range []string{"h2", "http/1.1"} {
		handshake(t, e, protocol)
		got := receive(t, all)
		assert.NoError(t, got.err)
		assert.True(t, got.state.HandshakeComplete)
		assert.Equal(t, protocol, got.state.NegotiatedProtocol)
	}
	c := dial(t, e)
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	require.NoError(t, err)
	assert.Error(t, receive(t, all).err)
}

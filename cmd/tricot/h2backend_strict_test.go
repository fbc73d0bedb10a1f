package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// speakingHTTP2 starts a backend that speaks HTTP/2 without TLS and answers each request by answer, frame by frame.
func speakingHTTP2(t *testing.T, answer func(to *h2Stream, path string)) backend {
	t.Helper()
	return accepting(t, func(conn net.Conn) {
		_ = conn.SetDeadline(time.Now().Add(4 * patience))
		if _, err := io.CopyN(io.Discard, conn, int64(len(h2.ClientPreface))); err != nil {
			return
		}
		framer := h2.NewFramer(conn, conn)
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		to := &h2Stream{framer: framer}
		to.fields = hpack.NewEncoder(&to.block)
		_ = framer.WriteSettings()
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *h2.SettingsFrame:
				if !frame.IsAck() {
					_ = framer.WriteSettingsAck()
				}
			case *h2.PingFrame:
				if !frame.IsAck() {
					_ = framer.WritePing(true, frame.Data)
				}
			case *h2.MetaHeadersFrame:
				to.id = frame.StreamID
				answer(to, frame.PseudoValue("path"))
			}
		}
	})
}

// h2Stream is where an answer goes.
type h2Stream struct {
	framer *h2.Framer
	fields *hpack.Encoder
	block  bytes.Buffer
	id     uint32
}

// head sends fields, names and values in turn, and content sends the end.
func (s *h2Stream) head(fields ...string) {
	s.block.Reset()
	for field := range slices.Chunk(fields, 2) {
		_ = s.fields.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	const most = 16 << 10
	block := s.block.Bytes()
	first := block[:min(len(block), most)]
	block = block[len(first):]
	_ = s.framer.WriteHeaders(h2.HeadersFrameParam{StreamID: s.id, BlockFragment: first, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		next := block[:min(len(block), most)]
		block = block[len(next):]
		_ = s.framer.WriteContinuation(s.id, len(block) == 0, next)
	}
}

func (s *h2Stream) content(body string) { _ = s.framer.WriteData(s.id, true, []byte(body)) }

// A panic on a goroutine that is no handler's would end the program, and with it everybody's connections.
func TestStrict_OutlivesOddBackendsOfHTTP2(t *testing.T) {
	t.Parallel()
	heads := map[string][][]string{
		"/101":               {{":status", "101", "upgrade", "odd"}, {":status", "200", "content-length", "3"}},
		"/101-alone":         {{":status", "101"}},
		"/flood-of-1xx":      slices.Repeat([][]string{{":status", "103", "x-odd", "1"}}, 1000),
		"/status-42":         {{":status", "42"}},
		"/status-099":        {{":status", "099"}},
		"/status-1000":       {{":status", "1000"}},
		"/status-below-zero": {{":status", "-5"}},
		"/two-lengths":       {{":status", "200", "content-length", "0", "content-length", "3"}},
		"/same-length-twice": {{":status", "200", "content-length", "3", "content-length", "3"}},
		"/list-of-lengths":   {{":status", "200", "content-length", "3, 3"}},
		"/signed-length":     {{":status", "200", "content-length", "+3"}},
		"/transfer-coding":   {{":status", "200", "transfer-encoding", "chunked"}},
		"/nul":               {{":status", "200", "x-odd", "a\x00b"}},
		"/crlf":              {{":status", "200", "x-odd", "a\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK"}},
		"/content-first":     {},
		"/endless-head":      {append([]string{":status", "200"}, slices.Repeat([]string{"x-odd", strings.Repeat("a", 1000)}, 100)...)},
	}
	odds := speakingHTTP2(t, func(to *h2Stream, path string) {
		if odd, ok := heads[path]; ok {
			for _, head := range odd {
				to.head(head...)
			}
			to.content("odd")
			return
		}
		to.head(":status", "200")
		to.content(path)
	})
	p := start(t, nil, odds.service(t, "odd", "tricot-h2c app.test"))
	p.awaitCertificate("app.test")
	overEach(t, func(t *testing.T, protocol protocol) {
		client := p.client(t, protocol)
		other := p.client(t, protocol)
		for path := range heads {
			reply := get(t, client, "https://app.test"+path)
			assert.Equal(t, http.StatusBadGateway, reply.StatusCode, path)
			assert.False(t, strings.Contains(reply.body, "odd"), path)
			assert.Empty(t, reply.Header["X-Odd"], path)
			for i, client := range []*http.Client{client, other} {
				own := fmt.Sprintf("/own%s/%d", path, i)
				assert.Equal(t, own, get(t, client, "https://app.test"+own).body, "after "+path)
			}
		}
		if protocol == http1 {
			answersInTurn(t, p, heads)
		}
		assert.NotContains(t, p.log(), "panic")
		for line := range strings.Lines(p.log()) {
			assert.True(t, strings.HasPrefix(line, "time="), line)
		}
	})
}

// answersInTurn asks for each path on one connection, and for one of its own behind it.
func answersInTurn(t *testing.T, p *proxy, heads map[string][][]string) {
	for path := range heads {
		conn := p.dialTLS(t, "app.test")
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\nGET /own HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n", path)
		require.NoError(t, err)
		from := bufio.NewReader(conn)
		for _, want := range []int{http.StatusBadGateway, http.StatusOK} {
			response, err := finalResponse(from)
			require.NoError(t, err, path)
			assert.Equal(t, want, response.StatusCode, path)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err, path)
			assert.Equal(t, want == http.StatusOK, string(body) == "/own", path)
		}
		rest, err := io.ReadAll(from)
		require.NoError(t, err, path)
		assert.Empty(t, rest, path)
	}
}

// finalResponse passes over early hints.
func finalResponse(from *bufio.Reader) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(from, nil)
		if err != nil || response.StatusCode != http.StatusEarlyHints {
			return response, err
		}
	}
}

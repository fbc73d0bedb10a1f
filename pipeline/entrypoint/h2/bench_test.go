package h2

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// driver is a client that makes as little work as it can: it writes what was made before, and looks at frames' headers only.
type driver struct {
	*wire
	block  []byte // of all requests
	buffer []byte
	header [frameHeaderSize]byte
	credit int // bytes that were read and not given back to the windows
}

// benchWindow is a client's window that nothing here fills, and what is given back at a time.
const benchWindow, benchCredit = 1 << 30, 1 << 20

func newDriver(t testing.TB, f *front, fields ...string) *driver {
	w := f.wire(t, initialWindow(benchWindow))
	_ = w.WriteWindowUpdate(0, benchWindow)
	w.ping()
	d := &driver{wire: w, buffer: make([]byte, maxFrame)}
	w.encoder.SetMaxDynamicTableSize(0) // so that a block can be used again
	d.block = bytes.Clone(w.fragment(append([]string{
		":method", "GET", ":scheme", "https", ":authority", "app.example.com", ":path", "/static/app.js?v=3",
		"user-agent", "wrk", "accept", "*/*", "accept-encoding", "gzip, br", "cookie", "session=0123456789abcdef",
	}, fields...)...))
	require.NoError(t, w.conn.SetDeadline(time.Time{}))
	return d
}

// ask writes a request's head into the buffer of what is to be sent.
func (d *driver) ask(id uint32, end bool) {
	flags := uint8(flagEndHeaders)
	if end {
		flags |= flagEndStream
	}
	_, _ = d.out.Write(appendFrameHeader(d.header[:0], len(d.block), headersFrame, flags, id))
	_, _ = d.out.Write(d.block)
}

// upload writes a frame of content.
func (d *driver) upload(id uint32, content []byte, end bool) {
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	_, _ = d.out.Write(appendFrameHeader(d.header[:0], len(content), dataFrame, flags, id))
	_, _ = d.out.Write(content)
}

// await reads until so many streams have ended.
func (d *driver) await(b testing.TB, streams int) {
	_ = d.out.Flush()
	for streams > 0 {
		if _, err := io.ReadFull(d.conn, d.header[:]); err != nil {
			b.Fatal(err)
		}
		h := parseFrameHeader(d.header[:])
		if _, err := io.ReadFull(d.conn, d.buffer[:h.length]); err != nil {
			b.Fatal(err)
		}
		switch {
		case h.kind == resetFrame, h.kind == goAwayFrame:
			b.Fatal("an end that is none")
		case h.kind == dataFrame:
			d.give(h.length)
		}
		if (h.kind == dataFrame || h.kind == headersFrame) && h.has(flagEndStream) {
			streams--
		}
	}
}

// give gives a part of the connection's window back.
func (d *driver) give(n int) {
	if d.credit += n; d.credit >= benchCredit {
		frame := binary.BigEndian.AppendUint32(appendFrameHeader(nil, 4, windowUpdateFrame, 0, 0), uint32(d.credit))
		_, _ = d.out.Write(frame)
		_ = d.out.Flush()
		d.credit = 0
	}
}

// benchServers run a handler on this server and on net/http's. run is given the identifiers of new streams.
func benchServers(b *testing.B, handler http.HandlerFunc, run func(b *testing.B, d *driver, next func() uint32)) {
	for _, server := range []string{"h2", "nethttp"} {
		b.Run(server, func(b *testing.B) {
			var f *front
			if server == "h2" {
				f = serve(b, handler)
			} else {
				f = onNetHTTP(b, handler)
			}
			d := newDriver(b, f)
			id := uint32(1)
			b.ReportAllocs()
			servertest.ReportCPU(b, func() {
				run(b, d, func() uint32 { id += 2; return id })
			})
		})
	}
}

func BenchmarkServe_AnswersOneKibibyte(b *testing.B) {
	benchServers(b, servertest.Answering(1<<10, 1<<10), func(b *testing.B, d *driver, next func() uint32) {
		for b.Loop() {
			d.ask(next(), true)
			d.await(b, 1)
		}
	})
}

func BenchmarkServe_AnswersAHundredStreamsAtOnce(b *testing.B) {
	const streams = 100
	benchServers(b, servertest.Answering(1<<10, 1<<10), func(b *testing.B, d *driver, next func() uint32) {
		for b.Loop() {
			for range streams {
				d.ask(next(), true)
			}
			d.await(b, streams)
		}
	})
}

func BenchmarkServe_AnswersOneMebibyte(b *testing.B) {
	benchServers(b, servertest.Answering(1<<20, 32<<10), func(b *testing.B, d *driver, next func() uint32) {
		b.SetBytes(1 << 20)
		for b.Loop() {
			d.ask(next(), true)
			d.await(b, 1)
		}
	})
}

func BenchmarkServe_TakesSixteenKibibytes(b *testing.B) {
	content := bytes.Repeat([]byte("x"), 16<<10)
	handler := func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != int64(len(content)) {
			panic(http.ErrAbortHandler)
		}
		w.Header()["Content-Length"] = []string{"0"}
	}
	benchServers(b, handler, func(b *testing.B, d *driver, next func() uint32) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			id := next()
			d.ask(id, false)
			d.upload(id, content, true)
			d.await(b, 1)
		}
	})
}

// A request costs the stream, its header and fields, and what the answer's header is made of; buffers are used again.
func TestServe_AllocatesLittleForARequest(t *testing.T) {
	f := serve(t, servertest.Answering(1<<10, 1<<10), func(f *front) { f.options.Log = quiet() })
	d := newDriver(t, f)
	id := uint32(1)
	ask := func() {
		id += 2
		d.ask(id, true)
		d.await(t, 1)
	}
	// The collector empties the pools; the least of several runs is what counts.
	least := testing.AllocsPerRun(100, ask)
	for range 9 {
		least = min(least, testing.AllocsPerRun(100, ask))
	}
	require.LessOrEqual(t, least, float64(allocations), "for each request")
}

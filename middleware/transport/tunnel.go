package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// sipBuffer is what each direction of a tunnel holds while nothing comes. Most messages of WebSockets fit into it.
const sipBuffer = 1 << 10

// tunnel returns when both directions have ended, and gives the number of bytes that the backend sent. early is what has
// been read already of what client sends.
func (x *exchange) tunnel(client net.Conn, early []byte) int64 {
	backend := x.connection
	end := func() {
		client.Close()
		backend.cut()
	}
	stop := context.AfterFunc(x.r.Context(), end)
	defer stop()
	_ = backend.tcp.SetDeadline(time.Time{})
	backend.tcp.limit = 0
	buffered, _ := x.buffers.in.Peek(x.buffers.in.Buffered())
	answered := bytes.Clone(buffered)
	x.pools.put(x.buffers)
	x.buffers = nil

	var up sync.WaitGroup
	up.Go(func() { x.relay(backend, client, early, end) })
	sent := x.relay(client, tunnelled{backend}, answered, end)
	up.Wait()
	end()
	return sent
}

// tunnelled is a backend's connection as it is read when it carries another protocol, without the time-outs of requests.
type tunnelled struct{ *connection }

func (c tunnelled) Read(p []byte) (int, error)        { return c.Conn.Read(p) }
func (c tunnelled) SetReadDeadline(t time.Time) error { return c.tcp.SetReadDeadline(t) }

// deadlineReader is what a direction of a tunnel needs of its source.
type deadlineReader interface {
	io.Reader
	SetReadDeadline(t time.Time) error
}

// relay copies early, and then until from ends, and passes that on where to can still be read from afterwards; otherwise
// it ends both.
func (x *exchange) relay(to io.Writer, from deadlineReader, early []byte, end func()) (sent int64) {
	var err error
	if len(early) > 0 {
		var n int
		n, err = to.Write(early)
		sent = int64(n)
	}
	if err == nil {
		var copied int64
		copied, err = x.copy(to, from)
		sent += copied
	}
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		end()
	}
	return sent
}

// copy waits with a small buffer for what comes, for a tunnel may be idle for days, and takes a large one only for as long
// as much does.
func (x *exchange) copy(to io.Writer, from deadlineReader) (copied int64, err error) {
	sip := make([]byte, sipBuffer)
	for {
		n, err := from.Read(sip)
		if n > 0 {
			written, err := to.Write(sip[:n])
			copied += int64(written)
			if err != nil {
				return copied, err
			}
		}
		if n == len(sip) && err == nil {
			var more int64
			more, err = x.copyMuch(to, from)
			copied += more
		}
		if errors.Is(err, io.EOF) {
			return copied, nil
		}
		if err != nil {
			return copied, err
		}
	}
}

// copyMuch ends without an error when not much has come at once for some time, at least [haste].
func (x *exchange) copyMuch(to io.Writer, from deadlineReader) (copied int64, err error) {
	buf := x.pools.bulk.Get().(*bulk)
	defer x.pools.bulk.Put(buf)
	much := true
	for deadline := (time.Time{}); ; {
		if now := time.Now(); much && deadline.Sub(now) < haste {
			deadline = now.Add(2 * haste)
			_ = from.SetReadDeadline(deadline)
		}
		n, err := from.Read(buf[:])
		if n > 0 {
			written, err := to.Write(buf[:n])
			copied += int64(written)
			if err != nil {
				return copied, err
			}
		}
		much = n > sipBuffer
		if errors.Is(err, os.ErrDeadlineExceeded) { // which TLS gets over as well when it reads
			return copied, from.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return copied, err
		}
	}
}

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

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
	up.Go(func() { relay(backend, newTap(client, &x.pools.bulk), early, end) })
	sent := relay(client, newTap(backend.Conn, &x.pools.bulk), answered, end)
	up.Wait()
	end()
	return sent
}

// relay copies early, and then until from ends, and passes that on where to can still be read from afterwards; otherwise
// it ends both.
func relay(to io.Writer, from tap, early []byte, end func()) (sent int64) {
	var err error
	if len(early) > 0 {
		var n int
		n, err = to.Write(early)
		sent = int64(n)
	}
	if err == nil {
		var copied int64
		copied, err = pour(to, from)
		sent += copied
	}
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		end()
	}
	return sent
}

// pour copies until from ends.
func pour(to io.Writer, from tap) (copied int64, err error) {
	for {
		piece, err := from.next()
		if len(piece) > 0 {
			n, failed := to.Write(piece)
			copied += int64(n)
			if failed != nil {
				err = failed
			}
		}
		from.release()
		if errors.Is(err, io.EOF) {
			return copied, nil
		}
		if err != nil {
			return copied, err
		}
	}
}

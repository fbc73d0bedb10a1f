//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// streams has each of some connections keep a number of requests under way at once.
func streams(ctx context.Context, address string, period time.Duration, connections, each int, path string) (int, error) {
	return parallel(ctx, period, connections, func(ctx context.Context, count *atomic.Int64) error {
		conn, err := dial(ctx, address, "h2")
		if err != nil {
			return err
		}
		defer conn.Close()
		if conn.ConnectionState().NegotiatedProtocol != "h2" {
			return errors.New("it does not speak HTTP/2")
		}
		client, err := newH2(conn, path)
		if err != nil {
			return err
		}
		for range each {
			if err := client.ask(); err != nil {
				return err
			}
		}
		for ctx.Err() == nil {
			if err := client.answers(count); err != nil {
				return err
			}
		}
		return nil
	})
}

// window is how much a server may send without being asked for more.
const window = 1 << 30

// h2 is an HTTP/2 client that does as little as it can (RFC 9113).
type h2 struct {
	to     *bufio.Writer
	framer *http2.Framer
	block  []byte // the request's fields; always the same, and only from the static table
	next   uint32
	taken  uint32 // of the connection's window
}

func newH2(conn net.Conn, path string) (*h2, error) {
	to := bufio.NewWriter(conn)
	c := &h2{to: to, framer: http2.NewFramer(to, bufio.NewReaderSize(conn, 64<<10)), next: 1}
	c.framer.SetReuseFrames()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", host}, {":path", path}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return nil, err
		}
	}
	c.block = block.Bytes()
	if _, err := io.WriteString(to, http2.ClientPreface); err != nil {
		return nil, err
	}
	if err := c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		return nil, err
	}
	return c, c.framer.WriteWindowUpdate(0, window)
}

func (c *h2) ask() error {
	id := c.next
	c.next += 2
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block, EndStream: true, EndHeaders: true})
}

// answers reads one frame, and asks anew where it was the end of an answer. A status is not looked at: with no table of
// its own it would have to be decoded, and a proxy's errors are shorter than what is expected.
func (c *h2) answers(count *atomic.Int64) error {
	if err := c.to.Flush(); err != nil {
		return err
	}
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return c.framer.WritePing(true, frame.Data)
		}
	case *http2.DataFrame:
		if c.taken += frame.Header().Length; c.taken > window/2 {
			if err := c.framer.WriteWindowUpdate(0, c.taken); err != nil {
				return err
			}
			c.taken = 0
		}
		if frame.StreamEnded() {
			count.Add(1)
			return c.ask()
		}
	case *http2.HeadersFrame:
		if frame.StreamEnded() {
			return errors.New("an answer has no content")
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("a request was refused: %s", frame.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Errorf("the connection was ended: %s", frame.ErrCode)
	}
	return nil
}

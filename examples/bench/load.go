//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A scenario is a kind of load.
type scenario struct {
	name, about string
	// load keeps a proxy busy for a while, and gives the number of answers. Anything but good answers is an error.
	load func(ctx context.Context, address string, period time.Duration) (int, error)
}

func scenarios() []scenario {
	get := func(path string, connections int, gzip bool) func(context.Context, string, time.Duration) (int, error) {
		return func(ctx context.Context, address string, period time.Duration) (int, error) {
			return keptConnections(ctx, address, period, connections, func(c *h1) error { return c.get(path, gzip) })
		}
	}
	return []scenario{
		{"h1", "HTTP/1.1, 1 KiB", get("/1k", 64, false)},
		{"h2", "HTTP/2, 1 KiB", func(ctx context.Context, address string, period time.Duration) (int, error) {
			return streams(ctx, address, period, 16, 16, "/1k")
		}},
		{"new", "new connection each", func(ctx context.Context, address string, period time.Duration) (int, error) {
			return newConnections(ctx, address, period, 16)
		}},
		{"1m", "1 MiB answers", get("/1m", 8, false)},
		{"upload", "16 KiB uploads", func(ctx context.Context, address string, period time.Duration) (int, error) {
			return keptConnections(ctx, address, period, 64, func(c *h1) error { return c.post("/post", content[:16<<10]) })
		}},
		{"gzip", "64 KiB gzip", get("/html", 16, true)},
	}
}

// clientTLS is what clients say in a handshake. No session is kept: each handshake is a whole one.
func clientTLS(protocol string) *tls.Config {
	return &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: []string{protocol}}
}

// parallel runs some workers until the period is over, and gives the sum of what they counted. The first error ends all.
func parallel(ctx context.Context, period time.Duration, workers int, work func(ctx context.Context, count *atomic.Int64) error) (int, error) {
	end := time.Now().Add(period)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	var count atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, workers)
	for range workers {
		group.Go(func() {
			// What is cut off by the end is no failure, and the socket may know of it before the context does.
			if err := work(ctx, &count); err != nil && ctx.Err() == nil && time.Now().Before(end) {
				failed <- err
				cancel()
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return int(count.Load()), nil
	}
}

func dial(ctx context.Context, address, protocol string) (*tls.Conn, error) {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: clientTLS(protocol)}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// keptConnections has each connection make one request after the other.
func keptConnections(ctx context.Context, address string, period time.Duration, connections int, request func(*h1) error) (int, error) {
	return parallel(ctx, period, connections, func(ctx context.Context, count *atomic.Int64) error {
		conn, err := dial(ctx, address, "http/1.1")
		if err != nil {
			return err
		}
		defer conn.Close()
		client := newH1(conn)
		for ctx.Err() == nil {
			if err := request(client); err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
}

// newConnections has each request come on a connection of its own.
func newConnections(ctx context.Context, address string, period time.Duration, workers int) (int, error) {
	return parallel(ctx, period, workers, func(ctx context.Context, count *atomic.Int64) error {
		for ctx.Err() == nil {
			conn, err := dial(ctx, address, "http/1.1")
			if err != nil {
				return err
			}
			client := newH1(conn)
			client.close = true
			err = client.get("/1k", false)
			conn.Close()
			if err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
}

// h1 is an HTTP/1.1 client that does as little as it can.
type h1 struct {
	conn  io.ReadWriter
	from  *bufio.Reader
	close bool // says that each request is the last
}

func newH1(conn io.ReadWriter) *h1 { return &h1{conn: conn, from: bufio.NewReaderSize(conn, 64<<10)} }

func (c *h1) get(path string, gzip bool) error {
	fields := ""
	if gzip {
		fields += "Accept-Encoding: gzip\r\n"
	}
	if c.close {
		fields += "Connection: close\r\n"
	}
	if _, err := io.WriteString(c.conn, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n"+fields+"\r\n"); err != nil {
		return err
	}
	return c.answer(gzip)
}

func (c *h1) post(path string, body []byte) error {
	head := "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n"
	if _, err := c.conn.Write(append([]byte(head), body...)); err != nil {
		return err
	}
	return c.answer(false)
}

// answer reads one, which has to be a 200, in gzip where that was asked for.
func (c *h1) answer(gzip bool) error {
	length, chunked, zipped := -1, false, false
	for first := true; ; first = false {
		line, err := c.from.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
				return fmt.Errorf("the answer is %q", line)
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		switch value = strings.TrimSpace(value); strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil {
				return err
			}
		case "transfer-encoding":
			chunked = true
		case "content-encoding":
			zipped = value == "gzip"
		}
	}
	if zipped != gzip {
		return errors.New("the answer is not compressed as it should be")
	}
	if !chunked {
		if length < 0 {
			return errors.New("the answer has no length")
		}
		_, err := c.from.Discard(length)
		return err
	}
	for {
		line, err := c.from.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 32)
		if err != nil {
			return err
		}
		if _, err := c.from.Discard(int(size) + len("\r\n")); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

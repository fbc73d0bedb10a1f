//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// content is what is sent and uploaded where it does not matter what.
var content = bytes.Repeat([]byte("x"), 1<<20)

// startBackend serves /1k, /1m, /html and /post over HTTP/1.1 until the listener is closed, as cheaply as it can: it has
// the core that makes the load.
func startBackend() (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	answers := map[string][]byte{
		"/1k":   answer("text/css", content[:1<<10]),
		"/1m":   answer("application/octet-stream", content),
		"/html": answer("text/html", page()),
		"/post": answer("text/css", []byte("ok")),
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn, answers)
			}()
		}
	}()
	return listener, nil
}

func answer(media string, body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\nLast-Modified: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n", media, len(body)), body...)
}

// page is 64 KiB that compress as a web page does.
func page() []byte {
	var b strings.Builder
	for i := 0; b.Len() < 64<<10; i++ {
		fmt.Fprintf(&b, "<p class=\"row-%d\">item %d of the list, seen %d days ago</p>\n", i%97, i*7919%10007, i*31%365)
	}
	return []byte(b.String()[:64<<10])
}

func serve(conn net.Conn, answers map[string][]byte) {
	from := bufio.NewReaderSize(conn, 32<<10)
	for {
		path, length := "", 0
		for first := true; ; first = false {
			line, err := from.ReadSlice('\n')
			if err != nil {
				return
			}
			line = bytes.TrimRight(line, "\r\n")
			if first {
				if fields := bytes.Fields(line); len(fields) > 1 {
					path = string(fields[1])
				}
				continue
			}
			if len(line) == 0 {
				break
			}
			if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
			}
		}
		if _, err := io.CopyN(io.Discard, from, int64(length)); err != nil {
			return
		}
		if _, err := conn.Write(answers[path]); err != nil || answers[path] == nil {
			return
		}
	}
}

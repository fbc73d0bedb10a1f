package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// A client that asks for much and reads nothing costs Tricot what the package comment of transport says, and not what
// its backends would give.
func TestStreams_OfASlowClientHoldABoundedPartOfTheirAnswers(t *testing.T) {
	t.Parallel()
	const (
		connections, each = 4, 250
		streams           = connections * each
		answer            = 8 << 20   // bytes, of each stream
		maxTaken          = 1 << 20   // of each: what the kernel has for a connection is in it
		maxResident       = 256 << 10 // of each: 72 KiB and what HTTP/2 needs, and as much again that is garbage
	)
	var taken, began atomic.Int64
	piece := make([]byte, 16<<10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(answer))
		for range answer / len(piece) {
			n, err := w.Write(piece)
			taken.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			_ = conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	web := backend{server.Listener.Addr().String()}
	p := start(t, nil, web.service(t, "web", "tricot app.test"))
	before := p.resident("VmRSS")

	var group errgroup.Group
	t.Cleanup(func() { _ = group.Wait() })
	for range connections {
		client := p.slowClient(t)
		for range each {
			group.Go(func() error {
				response, err := client.Do(newRequest(t, http.MethodGet, "https://app.test/", nil))
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = response.Body.Close() })
				if response.StatusCode != http.StatusOK {
					return fmt.Errorf("answered %s", response.Status)
				}
				began.Add(1)
				_, err = io.ReadFull(response.Body, make([]byte, 1))
				return err
			})
		}
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, streams, began.Load())

	// Nothing more may be taken when nothing more is read; it is waited for until that is so.
	for still, last := 0, int64(0); still < 20; last = taken.Load() {
		<-time.After(50 * time.Millisecond)
		if still++; taken.Load() != last {
			still = 0
		}
		require.LessOrEqual(t, taken.Load(), int64(streams*maxTaken), "bytes that left the backend")
	}
	peak := p.resident("VmHWM")
	t.Logf("%d KiB taken of each answer, %d KiB resident for it", taken.Load()/streams>>10, (peak-before)/streams>>10)
	assert.LessOrEqual(t, peak-before, int64(streams*maxResident), "resident bytes")
}

// slowClient gives one with a connection of its own over HTTP/2, on which little arrives that is not read.
func (p *proxy) slowClient(t *testing.T) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	client := newClient(t, &http.Transport{
		DialContext:     dialing(p.httpsAddress),
		TLSClientConfig: &tls.Config{RootCAs: p.roots()},
		Protocols:       &protocols,
		HTTP2:           &http.HTTP2Config{MaxReceiveBufferPerStream: 16 << 10},
	})
	client.Timeout = 4 * patience
	return client
}

// resident gives a field of the process's status that is a number of KiB, in bytes.
func (p *proxy) resident(field string) int64 {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	found := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(p.t, found)
	kib, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(p.t, err)
	return kib << 10
}

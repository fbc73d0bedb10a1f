package transport

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pair gives the ends of a connection of the system's.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	far, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { far.Close() })
	near, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { near.Close() })
	return near, far
}

func securePair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	near, far = pair(t)
	shown := certificate(t, "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	server := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{shown}})
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	failed := make(chan error, 1)
	go func() { failed <- client.Handshake() }()
	require.NoError(t, server.Handshake())
	require.NoError(t, receive(t, failed, "handshake"))
	return server, client
}

var taps = map[string]func(t *testing.T) (near, far net.Conn){
	"of the system": pair,
	"TLS":           securePair,
	"another":       func(*testing.T) (near, far net.Conn) { return net.Pipe() },
}

func TestTap_GivesWhatHasComeAndWaitsForNoMore(t *testing.T) {
	for name, connect := range taps {
		t.Run(name, func(t *testing.T) {
			near, far := connect(t)
			pools := newPools()
			tap := newTap(near, &pools.bulk)
			defer tap.release()
			for _, size := range []int{1, 2, sipBuffer, 16 << 10, 1, bulkBuffer + 1, 200_000, 1} {
				message := make([]byte, size)
				_, _ = rand.Read(message)
				go func() { _, _ = far.Write(message) }()
				got := make(chan []byte, 1)
				go func() {
					var all []byte
					for len(all) < size {
						piece, err := tap.next()
						all = append(all, piece...)
						tap.release()
						if err != nil {
							break
						}
					}
					got <- all
				}()
				require.True(t, bytes.Equal(message, receive(t, got, "message")), "%d bytes", size)
			}
		})
	}
}

func TestTap_EndsWithTheConnection(t *testing.T) {
	for name, connect := range taps {
		t.Run(name, func(t *testing.T) {
			near, far := connect(t)
			pools := newPools()
			go func() {
				_, _ = io.WriteString(far, "the last words")
				_ = far.Close()
			}()
			var to bytes.Buffer
			n, err := pour(&to, newTap(near, &pools.bulk))
			require.NoError(t, err)
			assert.Equal(t, "the last words", to.String())
			assert.EqualValues(t, to.Len(), n)
		})
	}
}

func TestTap_SaysWhyItCannotGoOn(t *testing.T) {
	for name, connect := range taps {
		t.Run(name, func(t *testing.T) {
			pools := newPools()
			near, _ := connect(t)
			tap := newTap(near, &pools.bulk)
			require.NoError(t, near.Close())
			_, err := pour(io.Discard, tap)
			assert.Error(t, err, "it was closed on this side")
		})
	}
	near, far := pair(t)
	require.NoError(t, far.(*net.TCPConn).SetLinger(0))
	require.NoError(t, far.Close())
	pools := newPools()
	_, err := pour(io.Discard, newTap(near, &pools.bulk))
	assert.ErrorContains(t, err, "reset")
}

func TestTap_EndsWhereTheOtherSideTakesNoMore(t *testing.T) {
	near, far := pair(t)
	_, closed := pair(t)
	require.NoError(t, closed.Close())
	_, err := io.WriteString(far, "x")
	require.NoError(t, err)
	pools := newPools()
	_, err = pour(closed, newTap(near, &pools.bulk))
	assert.ErrorIs(t, err, net.ErrClosed)
}

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestService_TellsItsNameAndWhatReachedIt(t *testing.T) {
	r := httptest.NewRequest("POST", "/a%2Fb?q=1", nil)
	r.Host = "app.test"
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Forwarded-Host", "app.test:8443")
	w := httptest.NewRecorder()

	newService("one", time.Hour).ServeHTTP(w, r)

	assert.Equal(t, "one: POST /a%2Fb?q=1\nHost: app.test\nX-Forwarded-For: 192.0.2.7\n"+
		"X-Forwarded-Proto: https\nX-Forwarded-Host: app.test:8443\n", w.Body.String())
}

func TestService_HasAPageThatIsWorthCompressing(t *testing.T) {
	w := httptest.NewRecorder()
	newService("<one>", time.Hour).ServeHTTP(w, httptest.NewRequest("GET", "/page", nil))

	page := w.Body.Bytes()
	assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Greater(t, len(page), 20<<10)
	assert.Contains(t, string(page), "<title>&lt;one&gt;</title>")

	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	_, err := z.Write(page)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	assert.Less(t, small.Len(), len(page)/3)
}

func TestRun_StreamsEventsUntilItIsToldToEnd(t *testing.T) {
	address := freeAddress(t)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, address, "one") }()
	response := get(t, "http://"+address+"/events")
	defer response.Body.Close()

	assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	events := bufio.NewReader(response.Body)
	for _, want := range []string{"id: 1\n", "data: one, event 1\n", "\n", "id: 2\n", "data: one, event 2\n"} {
		line, err := events.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, want, line)
	}

	end()
	assert.NoError(t, <-ended)
	_, err := io.Copy(io.Discard, events)
	assert.NoError(t, err, "the stream ends whole")
}

func TestRun_SaysThatItsAddressIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	assert.ErrorContains(t, run(t.Context(), taken.Addr().String(), "one"), "address already in use")
}

// freeAddress gives one that nobody listened on a moment ago. Its port is below those that the kernel hands out by itself, so
// that no connection gets it before the service does, and not of those that the tests of other packages take.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprint("127.0.0.1:", 14800+rand.IntN(200))
		if listener, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, listener.Close())
			return address
		}
	}
	require.FailNow(t, "no free port")
	return ""
}

// get waits for the service to listen.
func get(t *testing.T, url string) *http.Response {
	t.Helper()
	var response *http.Response
	require.Eventually(t, func() bool {
		var err error
		response, err = http.Get(url)
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	return response
}

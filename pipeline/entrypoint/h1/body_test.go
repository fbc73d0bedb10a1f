package h1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

func chunked(content string) string {
	return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(content), content)
}

func sized(content string) string {
	return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(content), content)
}

func TestBody_IsReadWholeHoweverLong(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, servertest.Echoing(t))
		c := f.dial(t)
		r := bufio.NewReader(c)
		for _, size := range []int{1, 4096, 5000, 300 << 10} {
			want := strings.Repeat("x", size)
			for _, form := range []func(string) string{sized, chunked} {
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+form(want))
					assert.NoError(t, err)
				}()
				_, content := answer(t, r, "POST")
				assert.True(t, content == want, "%d bytes came back as %d", size, len(content))
				receive(t, sent)
			}
		}
	})
}

func TestBody_ThatIsLeftUnreadIsDiscardedUpToALimit(t *testing.T) {
	for name, duplex := range map[string]bool{"before the answer": false, "after it, in full duplex": true} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, serve serving) {
				for _, form := range []func(string) string{sized, chunked} {
					f := serve(t, func(w http.ResponseWriter, r *http.Request) {
						if duplex {
							_ = http.NewResponseController(w).EnableFullDuplex()
						}
						if r.URL.Path == "/part" {
							_, _ = io.ReadFull(r.Body, make([]byte, 10))
							_ = r.Body.Close()
							_, err := r.Body.Read(make([]byte, 10))
							assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
						}
						_, _ = io.WriteString(w, "hello")
					})
					c := f.dial(t)
					r := bufio.NewReader(c)
					for _, path := range []string{"/", "/part"} {
						write(t, c, "POST "+path+" HTTP/1.1\r\nHost: a\r\n"+form(strings.Repeat("x", 60<<10)))
						response, content := answer(t, r, "POST")
						assert.Equal(t, "hello", content)
						assert.False(t, response.Close)
					}
					// One that is too long closes the connection, and still its client sees the answer.
					write(t, c, "POST / HTTP/1.1\r\nHost: a\r\n"+form(strings.Repeat("x", 4<<20)))
					response, content := answer(t, r, "POST")
					assert.Equal(t, "hello", content)
					assert.Equal(t, !duplex, response.Close)
					_, err := r.ReadByte()
					assert.ErrorIs(t, err, io.EOF)
				}
			})
		})
	}
}

func TestBody_ThatDoesNotComeDelaysTheAnswerForALimitedTime(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		func(f *front) { f.linger = 50 * time.Millisecond })
	answer := f.talk(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	assert.Equal(t, strings.Replace(okPlain5, "\r\nContent-Type", "\r\nConnection: close\r\nContent-Type", 1), order(answer))
}

// order puts the Connection field to the front.
func order(answer string) string {
	const closes = "Connection: close\r\n"
	if !strings.Contains(answer, closes) {
		return answer
	}
	status, rest, _ := strings.Cut(strings.Replace(answer, closes, "", 1), "\r\n")
	return status + "\r\n" + closes + rest
}

func TestBody_FailsAfterTheHandlerHasReturned(t *testing.T) {
	type tried struct {
		n   int
		err error
	}
	results := make(chan tried, 1)
	reading := make(chan struct{})
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = r.Body.Read(make([]byte, 4))
		go func() {
			close(reading)
			p := make([]byte, 10)
			n, err := r.Body.Read(p) // nothing comes
			results <- tried{n, err}
			_, err = r.Body.Read(p)
			results <- tried{0, err}
		}()
		receive(t, reading)
		_, _ = io.WriteString(w, "hello")
	}, func(f *front) { f.linger = 50 * time.Millisecond })
	assert.Contains(t, f.talk(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"), "hello")
	first := receive(t, results)
	assert.Zero(t, first.n)
	assert.Error(t, first.err)
	_, blamed := errors.AsType[*shared.StallError](first.err)
	assert.False(t, blamed, "%v", first.err)
	assert.Error(t, receive(t, results).err)
}

func TestBody_GivesTrailersAtItsEnd(t *testing.T) {
	type fields struct{ announced, came http.Header }
	requests := make(chan servertest.Request, 1)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) { requests <- servertest.ReadRequest(r) })
	c := f.dial(t)
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	for announced, want := range map[string]fields{
		"":                      {nil, http.Header{"X-A": {"1"}, "B": {"2", "3"}}},
		"Trailer: x-a, X-None,": {http.Header{"X-A": nil, "X-None": nil}, http.Header{"X-A": {"1"}, "B": {"2", "3"}, "X-None": nil}},
	} {
		if announced != "" {
			announced += "\r\n"
		}
		write(t, c, head+announced+"\r\n2\r\nhi\r\n0\r\nX-A: 1\r\nb: 2\r\nb: 3\r\n\r\n")
		got := receive(t, requests)
		assert.False(t, got.Broken)
		assert.Equal(t, want, fields{got.Announced, got.Trailer})
	}
}

func TestBody_IsNotBoundByTheTimeOfIdleConnections(t *testing.T) {
	const idle = 2 * time.Second // the second request has to come by then, on a busy machine too
	var f *front
	f = serve(t, func(w http.ResponseWriter, r *http.Request) {
		f.options.IdleTimeout = idle
		_, err := io.Copy(w, r.Body)
		assert.NoError(t, err)
	})
	c := f.dial(t)
	r := bufio.NewReader(c)
	write(t, c, get)
	answer(t, r, "GET")
	write(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
	servertest.RequireSilent(t, c, idle*5/4)
	write(t, c, "llo")
	_, content := answer(t, r, "POST")
	assert.Equal(t, "hello", content)
}

func TestBody_HasTheDeadlineThatTheHandlerSets(t *testing.T) {
	errs := make(chan error, 1)
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err := io.Copy(io.Discard, r.Body)
		errs <- err
	})
	write(t, f.dial(t), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
	assert.ErrorIs(t, receive(t, errs), os.ErrDeadlineExceeded)
}

func TestBody_ThatIsLongerThanAHandlerTakesIsRefusedSuchThatItIsSeen(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, servertest.Limiting(t, 1000))
		c := f.dial(t)
		write(t, c, "POST / HTTP/1.1\r\nHost: a\r\n"+sized(strings.Repeat("x", 4<<20))+get)
		r := bufio.NewReader(c)
		response, content := answer(t, r, "POST")
		assert.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
		assert.Equal(t, "too much\n", content)
		assert.True(t, response.Close)
		_, err := r.ReadByte()
		assert.ErrorIs(t, err, io.EOF)
	})
}

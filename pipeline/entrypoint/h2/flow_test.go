package h2

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// patterned answers with a pattern of the size and the seed that the query names, in pieces.
func patterned(w http.ResponseWriter, r *http.Request) {
	seed, _ := strconv.Atoi(r.FormValue("seed"))
	size, _ := strconv.Atoi(r.FormValue("size"))
	piece, _ := strconv.Atoi(r.FormValue("piece"))
	if r.FormValue("length") != "" {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	for content := pattern(seed, size); content != ""; {
		n := min(len(content), max(piece, 1))
		if _, err := io.WriteString(w, content[:n]); err != nil {
			return
		}
		content = content[n:]
	}
}

func TestFlow_GivesManyLongAnswersAtOnceThroughAnyWindows(t *testing.T) {
	const streams = 30
	for _, c := range []struct{ window, size, piece int }{
		{1, 40, 7},
		{1, 40, 40},
		{100, 5_000, 999},
		{16 << 10, 200_000, 32 << 10},
		{65535, 200_000, 1000},
		{65535, 200_000, 200_000},
		{1<<31 - 1, 200_000, 32 << 10}, // all wait for the connection's window
	} {
		t.Run(fmt.Sprintf("windows of %d, %d bytes in pieces of %d", c.window, c.size, c.piece), func(t *testing.T) {
			f := serve(t, patterned, func(f *front) { f.ungathered = c.piece == c.size })
			w := f.wire(t, initialWindow(uint32(c.window)))
			w.widening = true
			for i := range streams {
				path := fmt.Sprintf("/?seed=%d&size=%d&piece=%d", i, c.size, c.piece)
				if i%2 == 0 {
					path += "&length=known"
				}
				w.get(uint32(2*i+1), path)
			}
			w.send()
			for i := range streams {
				requireSame(t, pattern(i, c.size), w.content(uint32(2*i+1)))
			}
			requireAtRest(t, f.only(t))
		})
	}
}

// What fills a stream's window while another stream's frames are being sent leaves, too.
func TestFlow_SendsAllThatAWindowTakesBeforeItWaits(t *testing.T) {
	const streams, window = 20, 3000
	f := serve(t, patterned)
	w := f.wire(t, initialWindow(window))
	for round := range 20 {
		for i := range streams {
			w.get(uint32(2*(round*streams+i)+1), "/?size=4000&piece=500&seed="+strconv.Itoa(i))
		}
		w.send()
		for i := range streams {
			id := uint32(2*(round*streams+i) + 1)
			w.until(func() bool { return w.reply(id).content.Len() == window })
			_ = w.WriteWindowUpdate(id, 1000)
			_ = w.WriteWindowUpdate(0, 4000)
		}
		w.send()
		for i := range streams {
			requireSame(t, pattern(i, 4000), w.content(uint32(2*(round*streams+i)+1)))
		}
	}
}

func TestFlow_LetsNoStreamStarveAnother(t *testing.T) {
	f := serve(t, patterned)
	w := f.wire(t, initialWindow(0))
	w.get(1, "/?size=200000&piece=32768&seed=1") // which nobody makes room for
	w.get(3, "/?size=3000&piece=100&seed=3")
	w.send()
	_ = w.WriteWindowUpdate(3, 3000)
	w.send()
	requireSame(t, pattern(3, 3000), w.content(3))
	assert.Zero(t, w.reply(1).content.Len())
	// The connection's window is in nobody's hands for long: both get what comes of it.
	_ = w.WriteWindowUpdate(1, 200000)
	w.get(5, "/?size=60000&piece=100&seed=5")
	_ = w.WriteWindowUpdate(5, 60000)
	w.send()
	for !w.reply(1).over() || !w.reply(5).over() {
		_ = w.WriteWindowUpdate(0, 1000)
		w.send()
		require.True(t, w.next())
	}
	requireSame(t, pattern(1, 200000), w.content(1))
	requireSame(t, pattern(5, 60000), w.content(5))
}

func TestFlow_FollowsSettingsThatChangeTheWindowsMidway(t *testing.T) {
	f := serve(t, patterned)
	w := f.wire(t, initialWindow(1000))
	w.get(1, "/?size=10000&piece=10000&seed=1")
	w.send()
	got := func() int { return w.reply(1).content.Len() }
	w.until(func() bool { return got() == 1000 })
	require.NoError(t, w.WriteSettings(initialWindow(100))) // 900 less than nothing
	_ = w.WriteWindowUpdate(1, 900)
	w.ping()
	assert.Equal(t, 1000, got(), "the window is 0")
	_ = w.WriteWindowUpdate(1, 1)
	w.send()
	w.until(func() bool { return got() == 1001 })
	require.NoError(t, w.WriteSettings(initialWindow(600)))
	w.send()
	w.until(func() bool { return got() == 1501 })
	require.NoError(t, w.WriteSettings(initialWindow(0), initialWindow(2000), initialWindow(1600))) // one after the other
	w.send()
	w.until(func() bool { return got() == 2501 })
	w.ping()
	assert.Equal(t, 2501, got())
	require.NoError(t, w.WriteSettings(initialWindow(20000)))
	w.send()
	requireSame(t, pattern(1, 10000), w.content(1))
	w.get(3, "/?size=20000&piece=10000&seed=3")
	w.send()
	requireSame(t, pattern(3, 20000), w.content(3))
}

// echo answers with the content of the request.
func echo(w http.ResponseWriter, r *http.Request) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r.Body}, make([]byte, 10_000)); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func TestFlow_TakesManyLongUploadsAtOnce(t *testing.T) {
	const streams, size = 10, 3 << 19 // more than a stream's window, and all more than the connection's
	f := serve(t, echo)
	client := f.client(t)
	results := make(chan string, streams)
	for i := range streams {
		go func() {
			_, content := func() (_ *http.Response, content string) {
				response, err := client.Post(f.url("/"), "a/b", strings.NewReader(pattern(i, size)))
				if !assert.NoError(t, err) {
					return nil, ""
				}
				defer response.Body.Close()
				read, err := io.ReadAll(response.Body)
				assert.NoError(t, err)
				return response, string(read)
			}()
			if content == pattern(i, size) {
				content = "as it was sent"
			}
			results <- content
		}()
	}
	for range streams {
		assert.Equal(t, "as it was sent", receive(t, results))
	}
	c := f.only(t)
	requireAtRest(t, c)
	assertWindowWhole(t, c)
}

// assertWindowWhole makes sure that all which a client sent has been returned to the connection's window, but for what is not
// worth a frame.
func assertWindowWhole(t *testing.T, c *conn) {
	t.Helper()
	assert.Eventually(t, func() bool { // a handler gives back what it has not read after its answer
		return locked(c, func() bool {
			consumed := c.consumed.Load()
			return c.receiveWindow+consumed == uploadPerConnection && consumed < uploadPerConnection/4
		})
	}, longest, step)
}

// Whatever becomes of an upload, the connection's window is whole again afterwards.
func TestFlow_ReturnsTheConnectionsWindowWhateverBecomesOfAnUpload(t *testing.T) {
	const uploads = 50  // on each of 36 connections
	const size = 20_000 // bytes
	padding := make([]byte, 200)
	upload := func(w *wire, id uint32) {
		_ = w.WriteData(id, false, make([]byte, size/2))
		_ = w.WriteDataPadded(id, false, make([]byte, size/2-1000), padding)
	}
	for name, send := range map[string]func(w *wire, id uint32){
		"it ends": func(w *wire, id uint32) {
			upload(w, id)
			w.data(id, true, "")
		},
		"it is reset": func(w *wire, id uint32) {
			upload(w, id)
			_ = w.WriteRSTStream(id, http2.ErrCodeCancel)
		},
		"it never ends": func(w *wire, id uint32) { upload(w, id) },
		"it is longer than announced": func(w *wire, id uint32) {
			upload(w, id)
			upload(w, id)
		},
		"it has trailers": func(w *wire, id uint32) {
			upload(w, id)
			w.trailers(id, "x-sum", "5")
		},
		"it ends with what is no trailer": func(w *wire, id uint32) {
			upload(w, id)
			w.trailers(id, ":path", "/")
		},
	} {
		for _, path := range []string{"/ignored", "/closed", "/half", "/half/closed", "/read", "/refused"} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
					if strings.Contains(r.URL.Path, "half") {
						_, _ = io.ReadFull(r.Body, make([]byte, size/3))
					}
					if strings.Contains(r.URL.Path, "closed") {
						_ = r.Body.Close()
					}
					if r.URL.Path == "/read" && r.Header.Get("Endless") == "" {
						_, _ = io.Copy(io.Discard, r.Body)
					}
				})
				w := f.wire(t)
				fields := []string{}
				switch name {
				case "it is longer than announced":
					fields = []string{"content-length", "30000"}
				case "it never ends":
					fields = []string{"endless", "yes"}
				}
				if path == "/refused" {
					fields = append(fields, "host", "other.example.com")
				}
				for i := range uploads {
					id := uint32(2*i + 1)
					w.post(id, path, fields...)
					send(w, id)
					if i%10 == 9 {
						w.ping()
					}
				}
				w.ping()
				c := f.only(t)
				requireAtRest(t, c)
				assertWindowWhole(t, c)
			})
		}
	}
}

// No content can come that would have the window returned on its way: that is for those who take it.
func TestFlow_ReturnsTheWindowThatUnreadUploadsFillWhenTheyAreGivenUp(t *testing.T) {
	for name, giveUp := range map[string]func(r *http.Request){
		"by the handler's return": func(*http.Request) {},
		"by Close":                func(r *http.Request) { _ = r.Body.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			giveUpNow, end := make(chan struct{}), make(chan struct{})
			defer close(end)
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/next" {
					echo(w, r)
					return
				}
				<-giveUpNow
				giveUp(r)
				if name == "by Close" {
					<-end
				}
			})
			w := f.wire(t)
			for i := range 3 {
				id := uint32(2*i + 1)
				w.post(id, "/")
				w.data(id, false, pattern(i, uploadPerStream))
			}
			w.ping()
			c := f.only(t)
			require.Zero(t, locked(c, func() int64 { return c.receiveWindow }), "nothing more can be sent")
			before := w.credit[0]
			close(giveUpNow)
			w.until(func() bool { return w.credit[0]-before > uploadPerConnection/2 })
			w.post(7, "/next")
			w.data(7, true, pattern(7, 100_000))
			w.send()
			w.widening = true
			_ = w.WriteWindowUpdate(7, 100_000)
			w.send()
			requireSame(t, pattern(7, 100_000), w.content(7))
		})
	}
}

func TestFlow_ReturnsWhatIsPaddingToBothWindows(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) { echo(w, r) })
	w := f.wire(t)
	w.post(1, "/")
	padding := make([]byte, 255)
	sent := int64(0)
	for i := range 3 * (uploadPerConnection / 256) { // nothing but padding
		_ = w.WriteDataPadded(1, false, nil, padding)
		if sent += 256; i%512 == 0 {
			w.ping()
		}
	}
	w.ping()
	_ = w.WriteDataPadded(1, true, []byte("hello"), padding)
	w.send()
	assert.Equal(t, "hello", w.content(1))
	assert.Greater(t, w.credit[1], sent/2)
	requireAtRest(t, f.only(t))
	assertWindowWhole(t, f.only(t))
}

// The goroutine that reads ends streams with the connection's lock held, which takes that of their content.
func TestFlow_ReturnsWindowsWithoutTheLockOfTheContent(t *testing.T) {
	for name, size := range map[string]int{"the stream's": uploadPerStream / 2, "the connection's": uploadPerConnection / 4} {
		t.Run(name, func(t *testing.T) {
			streams, goOn := make(chan *stream, 1), make(chan struct{})
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				s := w.(*response).stream
				streams <- s
				<-goOn
				_, _ = r.Body.Read(make([]byte, size))
			})
			w := f.wire(t)
			w.post(1, "/")
			w.data(1, false, pattern(1, size))
			w.ping()
			s := receive(t, streams)
			s.conn.mu.Lock()
			defer s.conn.mu.Unlock()
			close(goOn)
			require.Eventually(t, func() bool {
				if !s.body.mu.TryLock() {
					return false
				}
				defer s.body.mu.Unlock()
				return len(s.body.blocks) == 0 // all has been read
			}, longest, step)
		})
	}
}

// A handler's frames leave with its flush though others are being sent at the moment.
func TestFlow_SendsWhatIsFlushedWhileSomethingIsSent(t *testing.T) {
	flushes, goOn := make(chan struct{}), make(chan struct{})
	defer close(goOn)
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		<-flushes
		say(w, "hello")
		flush(w)
		<-goOn
	})
	w := f.wire(t)
	w.get(1, "/")
	w.get(3, "/")
	w.ping()
	c := f.only(t)
	requireState := func(ready func() bool) {
		require.Eventually(t, func() bool { return locked(c, ready) }, longest, step)
	}
	requireState(func() bool { return c.outbox.state == atRest })
	f.sending.Lock()
	goAhead := sync.OnceFunc(f.sending.Unlock)
	defer goAhead()
	flushes <- struct{}{}
	requireState(func() bool { return c.outbox.state == now })
	flushes <- struct{}{}
	requireState(func() bool { return c.outbox.length() > 0 && c.outbox.again })
	goAhead()
	w.until(func() bool { return w.reply(1).content.Len() == 5 && w.reply(3).content.Len() == 5 })
}

// The content may be read beside the handler, and asked for: both then wait for the same stream.
func TestFlow_LetsAllGoWhoWaitForAStreamThatEnds(t *testing.T) {
	ended := make(chan struct{}, 2)
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			_, _ = io.WriteString(w, pattern(1, 1<<20))
			return
		}
		var reading sync.WaitGroup
		reading.Go(func() {
			_, err := r.Body.Read(make([]byte, 1))
			assert.Error(t, err)
			ended <- struct{}{}
		})
		w.WriteHeader(http.StatusEarlyHints)
		ended <- struct{}{}
		reading.Wait()
	})
	w := f.wire(t, initialWindow(1<<20))
	_ = w.WriteWindowUpdate(0, 1<<22)
	w.ping()
	c := f.only(t)
	f.sending.Lock()
	goAhead := sync.OnceFunc(f.sending.Unlock)
	defer goAhead()
	w.get(1, "/long") // whose handler sends
	w.get(5, "/long") // whose frames wait
	w.send()
	require.Eventually(t, func() bool { return locked(c, func() bool { return c.outbox.length() >= full }) }, longest, step)
	w.post(7, "/", "expect", "100-continue")
	w.send()
	require.Eventually(t, func() bool { return locked(c, func() bool { return len(c.outbox.room) == 3 }) }, longest, step)
	_ = w.WriteRSTStream(7, http2.ErrCodeCancel)
	w.send()
	receive(t, ended)
	receive(t, ended)
	goAhead()
	for _, id := range []uint32{1, 5} {
		requireSame(t, pattern(1, 1<<20), w.content(id))
	}
	requireAtRest(t, c)
}

// A client that is reset while its handler reads: neither may wait for the other.
func TestFlow_ReadsBesideResets(t *testing.T) {
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		for p := make([]byte, 16<<10); ; {
			if _, err := r.Body.Read(p); err != nil {
				return
			}
		}
	})
	w := f.wire(t)
	for i := range 80 {
		id := uint32(2*i + 1)
		w.post(id, "/")
		w.data(id, false, pattern(i, 250_000))
		_ = w.WriteRSTStream(id, http2.ErrCodeCancel)
		if i%4 == 3 {
			w.ping()
		}
	}
	w.ping()
	requireAtRest(t, f.only(t))
	assertWindowWhole(t, f.only(t))
}

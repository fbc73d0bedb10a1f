package h2

import (
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// short is for time-outs that are to pass.
const short = 50 * time.Millisecond

// idleFor is a setting that passes while nobody waits long.
func idleFor(d time.Duration) func(*front) {
	return func(f *front) { f.options.IdleTimeout = d }
}

func TestIdle_EndsAConnectionOnWhichNothingIsAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		idle time.Duration
		ask  bool
	}{
		"after its beginning": {short, false},
		"after an answer":     {2 * time.Second, true}, // by when the request has come on a busy machine, too
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, echo, idleFor(c.idle))
			w := newWire(t, f.dial(t))
			_, _ = w.out.WriteString(http2.ClientPreface)
			require.NoError(t, w.WriteSettings())
			w.send()
			if c.ask {
				w.get(1, "/")
				w.send()
				w.content(1)
			}
			w.end()
			assert.Len(t, w.goAways, 1)
			assert.Equal(t, http2.ErrCodeNo, w.code)
		})
	}
}

func TestIdle_DoesNotEndAConnectionWhileAStreamIsOpen(t *testing.T) {
	t.Parallel()
	const idle = 2 * time.Second
	goOn := make(chan struct{})
	f := serve(t, held(goOn), idleFor(idle))
	w := f.wire(t)
	begun := time.Now()
	w.get(1, "/held") // as long as the handler needs
	w.post(3, "/")    // and as long as the client may take
	w.send()
	w.until(func() bool { return w.reply(3).over() })
	require.Eventually(t, func() bool { return time.Since(begun) > 2*idle }, longest, 10*step)
	w.ping()
	assert.Empty(t, w.goAways)
	close(goOn)
	assert.Equal(t, "hello", w.content(1))
	w.get(5, "/") // the time begins with the last answer
	w.send()
	assert.Equal(t, "hello", w.content(5))
	w.end()
	assert.Equal(t, http2.ErrCodeNo, w.code)
}

func TestReadHeaderTimeout_IsForThePrefaceAndForHeads(t *testing.T) {
	const preface = http2.ClientPreface
	settings := string(appendFrameHeader(nil, 0, settingsFrame, 0, 0))
	begun := string(appendFrameHeader(nil, 3, headersFrame, flagEndStream, 1)) + "\x82\x87\x84"
	for name, text := range map[string]string{
		"nothing":                   "",
		"half a preface":            preface[:10],
		"no SETTINGS":               preface,
		"half a frame's header":     preface + settings + "\x00\x00",
		"half a head":               preface + settings + begun[:11],
		"a head without end":        preface + settings + begun,
		"a head with no end either": preface + settings + begun + string(appendFrameHeader(nil, 0, continuationFrame, 0, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, echo, func(f *front) {
				f.options.ReadHeaderTimeout = short
				f.options.IdleTimeout = time.Minute
				if name == "nothing" || name == "no SETTINGS" { // nothing has begun
					f.options.IdleTimeout = short
				}
			})
			c := f.dial(t)
			_, err := io.WriteString(c, text)
			require.NoError(t, err)
			w := newWire(t, c)
			w.end()
			assert.Equal(t, http2.ErrCodeNo, w.code)
			assert.Len(t, w.goAways, 1)
		})
	}
}

func TestReadHeaderTimeout_IsNotForContent(t *testing.T) {
	t.Parallel()
	f := serve(t, echo, func(f *front) { f.options.ReadHeaderTimeout = 2 * time.Second })
	w := f.wire(t)
	begun := time.Now()
	w.post(1, "/")
	_ = w.WriteRawFrame(http2.FrameData, 0, 1, []byte("he"))
	w.send()
	// A frame of content that is cut off.
	_, err := w.conn.Write(append(appendFrameHeader(nil, 3, dataFrame, flagEndStream, 1), 'l'))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return time.Since(begun) > 3*time.Second }, longest, 10*step)
	_, err = w.conn.Write([]byte("lo"))
	require.NoError(t, err)
	assert.Equal(t, "hello", w.content(1))
}

func stalls(after time.Duration) func(*front) {
	return func(f *front) { f.options.ProgressTimeout = after }
}

func TestProgress_EndsWithAnUploadThatStalls(t *testing.T) {
	f := serve(t, servertest.Stalled(t, short), stalls(short))
	w := f.wire(t)
	w.post(1, "/")
	w.data(1, false, "half")
	w.post(3, "/", "expect", "100-continue")
	w.send()
	for _, id := range []uint32{1, 3} {
		w.until(func() bool { return w.reply(id).reset })
		assert.Equal(t, http.StatusRequestTimeout, w.reply(id).status)
		assert.True(t, w.reply(id).afterEnd)
		assert.Equal(t, http2.ErrCodeNo, w.reply(id).code)
	}
	requireAtRest(t, f.only(t))
}

func TestProgress_EndsWithADownloadThatStalls(t *testing.T) {
	for name, settings := range map[string][]http2.Setting{
		"the stream's window":     {initialWindow(1000)},
		"a window of 0":           {initialWindow(0)},
		"the connection's window": {initialWindow(1 << 20)},
	} {
		t.Run(name, func(t *testing.T) {
			errs := make(chan error, 2)
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					return
				}
				_, err := io.WriteString(w, pattern(1, 200_000))
				errs <- err
				_, err = io.WriteString(w, "more")
				errs <- err
			}, stalls(short))
			w := f.wire(t, settings...)
			w.get(1, "/")
			w.send()
			r := w.answer(1)
			assert.True(t, r.reset)
			assert.Equal(t, http2.ErrCodeInternal, r.code)
			for range 2 {
				servertest.AssertStalled(t, exchange.StallError{Writing: true, After: short}, receive(t, errs))
			}
			requireAtRest(t, f.only(t))
			w.head(3, true, "HEAD", "/") // the connection is none the worse for it
			w.send()
			assert.Equal(t, 200, w.answer(3).status)
		})
	}
}

// A timer is not stopped when the client goes on: it may end while another wait has just begun.
func TestProgress_LetsSlowOnesGoOn(t *testing.T) {
	const pieces, each = 8, 20_000
	streams := make(chan *stream, 1)
	waitsNot := func(lock sync.Locker, p *patience) {
		lock.Lock()
		defer lock.Unlock()
		assert.Zero(t, p.since)
	}
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		s := w.(*response).stream
		streams <- s
		for p := make([]byte, 1); ; {
			n, err := r.Body.Read(p)
			waitsNot(&s.body.mu, &s.body.reading)
			if err != nil {
				assert.ErrorIs(t, err, io.EOF)
				return
			}
			_, err = w.Write([]byte(strings.Repeat(string(p[:n]), each)))
			waitsNot(&s.conn.mu, &s.writing)
			assert.NoError(t, err)
		}
	})
	w := f.wire(t, initialWindow(0))
	w.post(1, "/")
	w.send()
	s := receive(t, streams)
	outlast := func(lock sync.Locker, p *patience, who impatient) {
		require.Eventually(t, func() bool {
			lock.Lock()
			defer lock.Unlock()
			return !p.since.IsZero()
		}, longest, step)
		who.expire()
	}
	for i := range pieces {
		outlast(&s.body.mu, &s.body.reading, &s.body)
		w.data(1, false, string(rune('a'+i)))
		w.send()
		outlast(&s.conn.mu, &s.writing, s)
		_ = w.WriteWindowUpdate(0, each)
		_ = w.WriteWindowUpdate(1, each)
		w.send()
	}
	w.data(1, true, "")
	w.send()
	assert.Len(t, w.content(1), pieces*each)
}

// Who listens to a stream may have nothing to say for long.
func TestProgress_LetsAClientBeSilentThatHasGotTheBeginningOfAnAnswer(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		flush(w)
		b := &w.(*response).stream.body
		begun := time.Now()
		written := make(chan struct{})
		go func() {
			defer close(written)
			assert.Eventually(t, func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return time.Since(begun) > 3*short && !b.reading.since.IsZero() // somebody waits for the client
			}, longest, 10*step)
			_, _ = io.WriteString(w, "more")
			flush(w)
		}()
		content, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		<-written
		_, _ = w.Write(content)
	}, stalls(short))
	w := f.wire(t)
	w.post(1, "/")
	w.send()
	w.until(func() bool { return w.reply(1).content.String() == "more" })
	w.data(1, true, "hello")
	w.send()
	assert.Equal(t, "morehello", w.content(1))
}

// A handler may take as long as it likes before it reads, and between its writes.
func TestProgress_DoesNotCountWhereNobodyWaitsForTheClient(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b := &w.(*response).stream.body
		wait := func() {
			begun := time.Now()
			assert.Eventually(t, func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return time.Since(begun) > 3*short && b.err != nil // the client has done its part
			}, longest, 10*step)
		}
		wait()
		content, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		wait()
		_, err = w.Write(content)
		assert.NoError(t, err)
		flush(w)
		wait()
		_, err = w.Write(content)
		assert.NoError(t, err)
	}, stalls(short))
	w := f.wire(t)
	w.post(1, "/")
	w.data(1, true, "hello")
	w.send()
	assert.Equal(t, "hellohello", w.content(1))
}

func TestDeadline_OfReadingIsTheHandlers(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(t *testing.T, c *http.ResponseController)
		want error // nil: the content is waited for
	}{
		"it passes": {func(t *testing.T, c *http.ResponseController) {
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(short)))
		}, os.ErrDeadlineExceeded},
		"it has passed": {func(t *testing.T, c *http.ResponseController) {
			assert.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
		}, os.ErrDeadlineExceeded},
		"it is sooner than it was": {func(t *testing.T, c *http.ResponseController) {
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(short)))
		}, os.ErrDeadlineExceeded},
		"it is cleared": {func(t *testing.T, c *http.ResponseController) {
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
			assert.NoError(t, c.SetReadDeadline(time.Time{}))
		}, nil},
		"it is later than it was": {func(t *testing.T, c *http.ResponseController) {
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			errs, set := make(chan error, 1), make(chan struct{})
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				c.set(t, http.NewResponseController(w))
				close(set)
				_, err := io.ReadAll(r.Body)
				errs <- err
				say(w, "hello") // it can be answered in any case
			})
			w := f.wire(t)
			w.post(1, "/")
			w.send()
			receive(t, set)
			if c.want == nil {
				w.data(1, true, "hello")
				w.send()
				assert.NoError(t, receive(t, errs))
			} else {
				assert.ErrorIs(t, receive(t, errs), c.want)
			}
			assert.Equal(t, "hello", w.answer(1).content.String())
		})
	}
}

// Timers are not stopped when a deadline changes; what they find then is what counts.
func TestDeadline_ThatWasTakenBackDoesNotEndAnything(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		control, s := http.NewResponseController(w), w.(*response).stream
		soon := func() time.Time { return time.Now().Add(time.Hour) }
		for _, later := range []time.Time{{}, time.Now().Add(2 * time.Hour)} {
			assert.NoError(t, control.SetReadDeadline(soon()))
			assert.NoError(t, control.SetWriteDeadline(soon()))
			assert.NoError(t, control.SetReadDeadline(later))
			assert.NoError(t, control.SetWriteDeadline(later))
			s.expire() // as the timers do
			s.body.expire()
		}
		echo(w, r)
	})
	_, content := ask(t, f.client(t), "POST", f.url("/"), strings.NewReader("hello"))
	assert.Equal(t, "hello", content)
}

// As net/http has it: what has passed cannot be taken back.
func TestDeadline_ThatHasPassedStays(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		control, s := http.NewResponseController(w), w.(*response).stream
		assert.NoError(t, control.SetReadDeadline(time.Unix(1, 0)))
		assert.NoError(t, control.SetReadDeadline(time.Now().Add(time.Hour)))
		assert.NoError(t, control.SetReadDeadline(time.Time{}))
		s.body.expire()
		_, err := r.Body.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.NoError(t, control.SetWriteDeadline(time.Unix(1, 0)))
		assert.NoError(t, control.SetWriteDeadline(time.Time{}))
		_, err = io.WriteString(w, pattern(1, 50_000))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
	w := f.wire(t)
	w.post(1, "/")
	w.data(1, true, "hello")
	w.send()
	assert.True(t, w.answer(1).reset)
}

func TestDeadline_OfWritingEndsWhoWaitsForAWindow(t *testing.T) {
	errs := make(chan error, 1)
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(short)))
		_, err := io.WriteString(w, pattern(1, 50_000))
		errs <- err
	})
	w := f.wire(t, initialWindow(10))
	w.get(1, "/")
	w.send()
	assert.ErrorIs(t, receive(t, errs), os.ErrDeadlineExceeded)
	assert.True(t, w.answer(1).reset)
	requireAtRest(t, f.only(t))
}

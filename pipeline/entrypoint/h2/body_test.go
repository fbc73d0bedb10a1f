package h2

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

func TestBody_IsReadWholeHoweverLongAndInWhateverPieces(t *testing.T) {
	for _, piece := range []int{1, 100, maxFrame - 1, maxFrame, 100_000} {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r.Body}, make([]byte, piece))
		})
		client := f.client(t)
		for _, size := range []int{0, 1, maxFrame - 1, maxFrame, maxFrame + 1, 40 * piece} {
			want := pattern(size, size)
			for _, content := range []io.Reader{strings.NewReader(want), struct{ io.Reader }{strings.NewReader(want)}} {
				_, have := ask(t, client, "POST", f.url("/"), content)
				requireSame(t, want, have)
			}
		}
	}
}

func TestBody_RepeatsItsEndAndFailsOnceItIsClosed(t *testing.T) {
	type read struct {
		n   int
		err error
	}
	results := make(chan read, 10)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		p := make([]byte, 10)
		try := func(p []byte) {
			n, err := r.Body.Read(p)
			results <- read{n, err}
		}
		if r.URL.Path == "/end" {
			_, _ = io.ReadFull(r.Body, p[:5])
			try(p)
			try(p)
			try(nil)
		}
		assert.NoError(t, r.Body.Close())
		assert.NoError(t, r.Body.Close())
		try(p)
		try(nil)
	})
	w := f.wire(t)
	w.post(1, "/end")
	w.data(1, true, "hello")
	w.post(3, "/close")
	w.data(3, true, "hello")
	w.send()
	w.content(1)
	w.content(3)
	requireAtRest(t, f.only(t))
	close(results)
	counts := map[error]int{}
	for r := range results {
		assert.Zero(t, r.n)
		counts[r.err]++
	}
	assert.Equal(t, map[error]int{io.EOF: 3, http.ErrBodyReadAfterClose: 4}, counts)
}

func TestBody_GivesWhatHasComeBeforeTheClientLeft(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(w *wire)
		wrong error
	}{
		"reset":                 {func(w *wire) { _ = w.WriteRSTStream(1, http2.ErrCodeCancel); w.send() }, errReset},
		"refused":               {func(w *wire) { _ = w.WriteWindowUpdate(1, 1<<31-1); w.send() }, errMessage},
		"gone":                  {func(w *wire) { _ = w.conn.NetConn().Close() }, nil},
		"gone, and said so":     {func(w *wire) { _ = w.conn.Close() }, nil},
		"wrong":                 {func(w *wire) { _ = w.WriteRawFrame(http2.FrameData, 0, 0, nil); w.send() }, nil},
		"longer than announced": {func(w *wire) { w.data(1, true, "hello"); w.send() }, errMessage},
	} {
		t.Run(name, func(t *testing.T) {
			begun, errs := make(chan struct{}), make(chan error, 1)
			f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				p := make([]byte, 5)
				_, err := io.ReadFull(r.Body, p[:2])
				assert.NoError(t, err)
				close(begun)
				<-r.Context().Done()
				_, err = io.ReadFull(r.Body, p[2:])
				assert.NoError(t, err)
				assert.Equal(t, "hello", string(p))
				_, err = r.Body.Read(p)
				_, again := r.Body.Read(p)
				assert.Equal(t, err, again)
				errs <- err
			})
			w := f.wire(t)
			w.post(1, "/", "content-length", "6")
			w.data(1, false, "hello")
			w.send()
			receive(t, begun)
			c.leave(w)
			err := receive(t, errs)
			require.Error(t, err)
			assert.NotErrorIs(t, err, io.EOF)
			if c.wrong != nil {
				assert.ErrorIs(t, err, c.wrong)
			}
		})
	}
}

func TestBody_FailsAfterTheHandlerHasReturned(t *testing.T) {
	errs, reading := make(chan error, 2), make(chan struct{})
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 4))
		go func() {
			close(reading)
			for range 2 {
				_, err := r.Body.Read(make([]byte, 10)) // nothing comes
				errs <- err
			}
		}()
		<-reading
		say(w, "hello")
	})
	w := f.wire(t)
	w.post(1, "/")
	w.data(1, false, "half")
	w.send()
	assert.Equal(t, "hello", w.answer(1).content.String())
	assert.ErrorIs(t, receive(t, errs), http.ErrBodyReadAfterClose)
	assert.ErrorIs(t, receive(t, errs), http.ErrBodyReadAfterClose)
}

// RFC 9113, section 8.1: the client is told that the rest is of no use, after the whole answer.
func TestBody_ThatIsNotWantedIsStoppedBehindTheAnswer(t *testing.T) {
	for name, length := range map[string]string{"before the handler's return": "5", "after it": ""} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				say(w, "hello")
			})
			w := f.wire(t)
			w.post(1, "/")
			w.data(1, false, "half")
			w.send()
			w.until(func() bool { return w.reply(1).reset })
			r := w.reply(1)
			assert.Equal(t, "hello", r.content.String())
			assert.True(t, r.afterEnd)
			assert.Equal(t, http2.ErrCodeNo, r.code)
			w.data(1, true, strings.Repeat("x", 100_000)) // it was on its way
			w.ping()
			assert.Empty(t, w.goAways)
			client := f.client(t)
			response, err := client.Post(f.url("/"), "a/b", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 4<<20))})
			require.NoError(t, err)
			content, err := io.ReadAll(response.Body)
			assert.NoError(t, err)
			assert.Equal(t, "hello", string(content))
		})
	}
}

func TestBody_GivesTrailersAtItsEnd(t *testing.T) {
	type fields struct{ announced, came http.Header }
	requests := make(chan servertest.Request, 1)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) { requests <- servertest.ReadRequest(r) })
	w := f.wire(t)
	id := uint32(1)
	for announced, want := range map[string]fields{
		"":                                  {nil, http.Header{"X-A": {"1"}, "B": {"2", "3"}}},
		"x-a, X-None,":                      {http.Header{"X-A": nil, "X-None": nil}, http.Header{"X-A": {"1"}, "B": {"2", "3"}, "X-None": nil}},
		"content-length, transfer-encoding": {nil, http.Header{"X-A": {"1"}, "B": {"2", "3"}}},
	} {
		var names []string
		if announced != "" {
			names = []string{"trailer", announced}
		}
		w.post(id, "/", names...)
		w.data(id, false, "hi")
		w.trailers(id, "x-a", "1", "b", "2", "content-length", "7", "b", "3")
		w.send()
		got := receive(t, requests)
		assert.False(t, got.Broken)
		assert.NotContains(t, got.Header, "Trailer")
		assert.Equal(t, want, fields{got.Announced, got.Trailer}, announced)
		w.content(id)
		id += 2
	}
}

func TestBody_IsEchoedWhileItComes(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		flush(w)
		for p := make([]byte, 100); ; {
			n, err := r.Body.Read(p)
			_, _ = w.Write(p[:n])
			if err != nil {
				assert.ErrorIs(t, err, io.EOF)
				return
			}
			flush(w)
		}
	})
	reader, writer := io.Pipe()
	r, err := http.NewRequest("POST", f.url("/"), reader)
	require.NoError(t, err)
	response, err := f.client(t).Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	for _, word := range []string{"one", "two", "three"} {
		_, err := io.WriteString(writer, word)
		require.NoError(t, err)
		p := make([]byte, len(word))
		_, err = io.ReadFull(response.Body, p)
		require.NoError(t, err)
		assert.Equal(t, word, string(p))
	}
	require.NoError(t, writer.Close())
	rest, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	assert.Empty(t, rest)
}

func TestBody_ThatIsLongerThanAHandlerTakesIsRefusedSuchThatItIsSeen(t *testing.T) {
	f := serve(t, servertest.Limiting(t, 1000))
	client := f.client(t)
	for range 3 {
		response, content := ask(t, client, "POST", f.url("/"), strings.NewReader(strings.Repeat("x", 4<<20)))
		assert.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
		assert.Equal(t, "too much\n", content)
	}
	assert.Len(t, f.connections(), 1, "on one connection")
}

func TestContext_EndsWhenTheClientLeavesAndNotBefore(t *testing.T) {
	for name, leave := range map[string]func(w *wire){
		"a reset":                func(w *wire) { _ = w.WriteRSTStream(1, http2.ErrCodeCancel); w.send() },
		"the connection's end":   func(w *wire) { _ = w.conn.Close() },
		"the connection's death": func(w *wire) { _ = w.conn.NetConn().Close() },
		"a wrong frame":          func(w *wire) { _ = w.WriteRawFrame(http2.FramePing, 0, 0, nil); w.send() },
		"a wrong stream":         func(w *wire) { _ = w.WriteWindowUpdate(1, 1<<31-1); w.send() },
	} {
		for _, ended := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				contexts, ends := make(chan context.Context, 2), make(chan struct{})
				f := serve(t, func(w http.ResponseWriter, r *http.Request) {
					flush(w)
					contexts <- r.Context()
					<-r.Context().Done()
					close(ends)
				})
				w := f.wire(t)
				w.head(1, ended, "PUT", "/")
				w.send()
				ctx := receive(t, contexts)
				after := make(chan struct{})
				context.AfterFunc(ctx, func() { close(after) })
				if !ended {
					w.data(1, true, "hello")
				}
				w.ping()
				assert.NoError(t, ctx.Err())
				leave(w)
				receive(t, ends)
				receive(t, after)
				assert.ErrorIs(t, ctx.Err(), context.Canceled)
			})
		}
	}
}

// A handler goes on after its answer is complete, and its client has the stream closed.
func TestContext_EndsWithTheHandlerAndNotWithTheAnswer(t *testing.T) {
	contexts, goOn := make(chan context.Context, 1), make(chan struct{})
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		say(w, "hello")
		contexts <- r.Context()
		<-goOn
		assert.NoError(t, r.Context().Err())
	})
	w := f.wire(t)
	w.get(1, "/")
	w.send()
	assert.Equal(t, "hello", w.content(1))
	ctx := receive(t, contexts)
	w.ping()
	assert.NoError(t, ctx.Err())
	requireAtRest(t, f.only(t)) // it holds no place of another stream
	close(goOn)
	receive(t, ctx.Done())
}

func TestContinue_IsSentOnceWhenTheContentIsWanted(t *testing.T) {
	for name, want := range map[string]func(w http.ResponseWriter){
		"by reading":     func(http.ResponseWriter) {},
		"by WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusContinue) },
		"beside others":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints) },
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				want(w)
				servertest.Echoing(t)(w, r)
			})
			w := f.wire(t)
			w.post(1, "/", "expect", "100-Continue", "content-length", "5")
			w.send()
			w.until(func() bool {
				informed := w.reply(1).informational
				return len(informed) > 0 && informed[len(informed)-1] == http.StatusContinue
			})
			w.data(1, true, "hello")
			w.send()
			assert.Equal(t, "hello", w.content(1))
			continued := 0
			for _, status := range w.reply(1).informational {
				if status == http.StatusContinue {
					continued++
				}
			}
			assert.Equal(t, 1, continued)
		})
	}
}

func TestContinue_IsNotSentWhereNobodyReadsOrTheAnswerIsThere(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" || r.URL.Path == "/decided" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			if r.URL.Path == "/late" {
				flush(w)
			}
			content, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			_, _ = w.Write(content)
		}
	})
	w := f.wire(t)
	w.post(1, "/", "expect", "100-continue")
	w.post(3, "/late", "expect", "100-continue")
	w.head(5, true, "POST", "/", "expect", "100-continue")
	w.post(7, "/decided", "expect", "100-continue")
	w.data(7, true, "hello")
	w.send()
	w.until(func() bool { return w.reply(3).status != 0 })
	w.data(3, true, "hello")
	w.send()
	assert.Equal(t, "hello", w.content(3))
	for _, id := range []uint32{1, 3, 5, 7} {
		assert.Empty(t, w.answer(id).informational)
	}
	assert.Equal(t, http.StatusOK, w.reply(1).status)
}

func TestContinue_IsWhatAnOrdinaryClientWaitsFor(t *testing.T) {
	f := serve(t, echo)
	client := f.client(t)
	client.Transport.(*http.Transport).ExpectContinueTimeout = 2 * longest
	r, err := http.NewRequest("POST", f.url("/"), strings.NewReader("hello"))
	require.NoError(t, err)
	r.Header.Set("Expect", "100-continue")
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	response, err := client.Do(r.WithContext(ctx))
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	assert.NoError(t, err)
	assert.Equal(t, "hello", string(content))
}

func TestInform_SendsWhatIsSetSoFarBesideAReaderOfTheContent(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		read := make(chan string)
		go func() {
			content, _ := io.ReadAll(r.Body)
			read <- string(content)
		}()
		w.Header().Set("Content-Length", "5")
		for range 20 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		say(w, <-read)
	})
	w := f.wire(t)
	w.post(1, "/", "expect", "100-continue")
	w.send()
	w.until(func() bool { return len(w.reply(1).informational) == 21 })
	w.data(1, true, "hello")
	w.send()
	assert.Equal(t, "hello", w.content(1))
	seen := map[int]int{}
	for _, status := range w.reply(1).informational {
		seen[status]++
	}
	assert.Equal(t, map[int]int{100: 1, 103: 20}, seen)
}

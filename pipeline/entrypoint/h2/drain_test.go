package h2

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// held answers "hello" at once, or what is under "/held" once it is let go.
func held(goOn <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			<-goOn
		}
		say(w, "hello")
	}
}

func TestDrain_ServesWhatWasSentBeforeTheClientKnewAndNothingElse(t *testing.T) {
	goOn := make(chan struct{})
	f := serve(t, held(goOn))
	w := f.wire(t)
	w.get(1, "/held")
	w.ping()
	f.Drain()
	f.Drain()
	w.until(func() bool { return len(w.pings) == 1 })
	assert.Equal(t, []uint32{1<<31 - 1}, w.goAways, "no more are wanted")
	w.get(3, "/") // it was on its way
	w.post(5, "/held")
	require.NoError(t, w.WritePing(true, drainPing))
	w.send()
	w.until(func() bool { return len(w.goAways) == 2 })
	assert.Equal(t, []uint32{1<<31 - 1, 5}, w.goAways)
	assert.Equal(t, http2.ErrCodeNo, w.code)
	require.NoError(t, w.WritePing(true, drainPing)) // once is enough
	w.get(7, "/")                                    // it was not
	w.data(5, true, "hello")
	w.ping()
	assert.Equal(t, "hello", w.content(3))
	assert.False(t, w.reply(1).over())
	close(goOn)
	assert.Equal(t, "hello", w.content(1))
	assert.Equal(t, "hello", w.content(5))
	w.end()
	assert.False(t, w.reply(7).over(), "RFC 9113, section 6.8: it may be asked for elsewhere")
	assert.Len(t, w.goAways, 2)
	_ = w.conn.Close()
	require.Eventually(t, func() bool { return len(f.connections()) == 0 }, longest, step)
}

func TestDrain_ClosesAConnectionWithoutRequests(t *testing.T) {
	f := serve(t, held(nil))
	unused, used := f.wire(t), f.wire(t)
	used.get(1, "/")
	used.send()
	assert.Equal(t, "hello", used.content(1))
	f.Drain()
	for _, w := range []*wire{unused, used} {
		w.until(func() bool { return len(w.pings) == 1 })
		require.NoError(t, w.WritePing(true, drainPing))
		w.send()
		w.end()
		assert.Len(t, w.goAways, 2)
		assert.Equal(t, http2.ErrCodeNo, w.code)
	}
}

func TestDrain_DoesNotWaitForAClientThatAnswersNoPing(t *testing.T) {
	f := serve(t, held(nil), func(f *front) { f.grace = short })
	w := f.wire(t)
	w.get(1, "/")
	w.send()
	assert.Equal(t, "hello", w.content(1))
	f.Drain()
	w.end()
	assert.Equal(t, []uint32{1<<31 - 1, 1}, w.goAways)
}

// One that is accepted while the others end: it says what a server says first, first (RFC 9113, section 3.4).
func TestDrain_HoldsForAConnectionThatBeginsLater(t *testing.T) {
	f := serve(t, held(nil))
	f.Drain()
	for range 20 {
		w := f.wire(t) // which fails where the first frame is another one
		w.get(1, "/")
		w.send()
		assert.Equal(t, "hello", w.content(1))
		w.until(func() bool { return len(w.pings) == 1 })
		require.NoError(t, w.WritePing(true, drainPing))
		w.send()
		w.end()
	}
}

func TestDrain_LetsAnOrdinaryClientGoOnElsewhere(t *testing.T) {
	goOn := make(chan struct{})
	f := serve(t, held(goOn))
	client := f.client(t)
	ask(t, client, "GET", f.url("/"), nil)
	first := f.only(t)
	type result struct {
		content string
		err     error
	}
	results := make(chan result, 1)
	go func() {
		response, err := client.Get(f.url("/held"))
		if err != nil {
			results <- result{"", err}
			return
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		results <- result{string(content), err}
	}()
	require.Eventually(t, func() bool { return locked(first, func() bool { return first.busy == 1 }) }, longest, step)
	first.drain()
	for range 50 {
		_, content := ask(t, client, "GET", f.url("/"), nil)
		assert.Equal(t, "hello", content)
	}
	close(goOn)
	assert.Equal(t, result{"hello", nil}, receive(t, results))
}

func TestClose_InTheMiddleLetsRequestsEnd(t *testing.T) {
	goOn := make(chan struct{})
	f := serve(t, held(goOn))
	w := f.wire(t)
	w.get(1, "/held")
	w.ping()
	f.Close()
	w.get(3, "/")
	w.send()
	assert.Equal(t, "hello", w.content(3))
	close(goOn)
	assert.Equal(t, "hello", w.content(1))
	requireAtRest(t, f.only(t))
	assert.Zero(t, f.workers.waiting())
}

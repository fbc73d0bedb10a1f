package h1

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

const (
	waiting  = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n"
	goAhead  = "HTTP/1.1 100 Continue\r\n\r\n"
	okPlain5 = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
)

func TestContinue_IsSentOnceWhenTheContentIsWanted(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		for name, early := range map[string]func(http.ResponseWriter){
			"by reading":      func(http.ResponseWriter) {},
			"by WriteHeader":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusContinue) },
			"with a deadline": func(w http.ResponseWriter) { _ = http.NewResponseController(w).EnableFullDuplex() },
		} {
			t.Run(name, func(t *testing.T) {
				f := serve(t, func(w http.ResponseWriter, r *http.Request) {
					early(w)
					r.Body = io.NopCloser(iotest.OneByteReader(r.Body)) // once, however often it is read
					servertest.Echoing(t)(w, r)
				})
				c := f.dial(t)
				for range 2 { // the connection goes on
					write(t, c, waiting)
					expect(t, c, goAhead)
					write(t, c, "hello")
					response, content := answer(t, bufio.NewReaderSize(c, 16), "POST")
					assert.Equal(t, 200, response.StatusCode)
					assert.Equal(t, "hello", content)
				}
			})
		}
	})
}

func TestContinue_IsNotSentWhenTheAnswerIsThere(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "hello")
	})
	c := f.dial(t)
	write(t, c, waiting)
	assert.Equal(t, strings.Replace(okPlain5, "200 OK\r\n", "413 Request Entity Too Large\r\n", 1),
		strings.Replace(readAll(t, c), "Connection: close\r\n", "", 1), "and the connection is closed")
}

func TestContinue_IsNotForHTTP10(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		content, _ := io.ReadAll(r.Body)
		_, _ = w.Write(content)
	})
	answer := f.talk(t, "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
	assert.Equal(t, strings.Replace(okPlain5, "HTTP/1.1", "HTTP/1.0", 1), answer)
}

func TestInform_SendsWhatIsSetSoFarBesideAReaderOfTheContent(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			var reading sync.WaitGroup
			var content []byte
			reading.Go(func() { content, _ = io.ReadAll(r.Body) })
			w.Header().Set("Link", "</x>")
			w.Header().Set("Content-Length", "5")
			for range 20 {
				w.WriteHeader(http.StatusEarlyHints)
			}
			reading.Wait()
			_, _ = w.Write(content)
		})
		c := f.dial(t)
		write(t, c, waiting)
		r := bufio.NewReader(c)
		seen := map[int]int{}
		for range 21 {
			response, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			seen[response.StatusCode]++
			assert.Empty(t, response.Header["Content-Length"])
		}
		assert.Equal(t, map[int]int{100: 1, 103: 20}, seen)
		write(t, c, "hello")
		response, content := answer(t, r, "POST")
		assert.Equal(t, "</x>", response.Header.Get("Link"))
		assert.Equal(t, "hello", content)
	})
}

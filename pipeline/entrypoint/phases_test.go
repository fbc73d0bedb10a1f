package entrypoint

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestShutdown_LetsAnUploadFinish(t *testing.T) {
	came := make(chan struct{}, 1)
	options, _ := secure(t, func(w http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		_, _ = io.Copy(w, r.Body)
	})
	e := serve(t, options)
	c := handshake(t, e, "http/1.1")
	_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst")
	require.NoError(t, err)
	receive(t, came)
	done := shutdown(t, e, within(t))
	requirePending(t, done)
	_, err = io.WriteString(c, "again")
	require.NoError(t, err)
	response, body := answerOn(t, c, bufio.NewReader(c))
	assert.Equal(t, "firstagain", body)
	assert.True(t, response.Close)
	assert.NoError(t, receive(t, done))
}

func TestShutdown_AnswersTheRequestThatHasBegunAndNoneBehindIt(t *testing.T) {
	g := newGate()
	options, _ := plain(g.ServeHTTP)
	e := serve(t, options)
	c := dial(t, e)
	_, err := io.WriteString(c, get+get)
	require.NoError(t, err)
	receive(t, g.came)
	done := shutdown(t, e, within(t))
	close(g.open)
	r := bufio.NewReader(c)
	response, body := answerOn(t, c, r)
	assert.Equal(t, "done", body)
	assert.True(t, response.Close)
	_, err = r.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
	require.NoError(t, c.Close())
	assert.NoError(t, receive(t, done))
	assert.Empty(t, g.came)
}

func TestShutdown_CutsOffAnAnswerThatNobodyTakes(t *testing.T) {
	came := make(chan struct{})
	options, _ := plain(func(w http.ResponseWriter, _ *http.Request) {
		close(came)
		piece := make([]byte, 1<<20)
		for range 64 {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	e := serve(t, options)
	c := dial(t, e)
	_, err := io.WriteString(c, get)
	require.NoError(t, err)
	receive(t, came)
	ctx, cancel := context.WithCancel(within(t))
	done := shutdown(t, e, ctx)
	requirePending(t, done)
	cancel()
	assert.EqualError(t, receive(t, done), "http: 1 request was cut off")
	requireClosed(t, c)
}

func TestShutdown_WaitsUntilTheAnswerIsOnItsWay(t *testing.T) {
	// The handler has long returned when the client takes what it wrote.
	returned := make(chan struct{})
	options, _ := plain(func(w http.ResponseWriter, _ *http.Request) {
		defer close(returned)
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.WriteString(w, "hello")
	})
	e := serve(t, options)
	c := dial(t, e)
	_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
	require.NoError(t, err)
	receive(t, returned)
	done := shutdown(t, e, within(t))
	_, err = io.WriteString(c, "later")
	require.NoError(t, err)
	_, body := answerOn(t, c, bufio.NewReader(c))
	assert.Equal(t, "hello", body)
	require.NoError(t, c.Close())
	assert.NoError(t, receive(t, done))
}

func TestServe_TellsWhoSpeaksHTTPToTheTLSPortInWords(t *testing.T) {
	options, log := secure(t, protocol)
	c := dial(t, serve(t, options))
	_, err := io.WriteString(c, get)
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	told, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", string(told))
	log.Await(t, "client sent an HTTP request to an HTTPS server")
}

func TestServe_SurvivesWhoeverChoosesCertificates(t *testing.T) {
	options, log := secure(t, protocol)
	choose := options.TLS.GetCertificate
	options.TLS.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "panic.example.com" {
			panic("no certificate")
		}
		return choose(hello)
	}
	e := serve(t, options)
	c := tls.Client(dial(t, e), &tls.Config{InsecureSkipVerify: true, ServerName: "panic.example.com"})
	assert.Error(t, c.Handshake())
	log.Await(t, "no certificate")
	good := handshake(t, e, "http/1.1")
	_, body := ask(t, good, bufio.NewReader(good), get)
	assert.Equal(t, "HTTP/1.1", body)
}

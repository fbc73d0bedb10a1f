package servertest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// Answering answers with so many bytes, written in pieces of another size that divides it, and keeps what it allocates small.
func Answering(size, piece int) http.HandlerFunc {
	content := bytes.Repeat([]byte("x"), piece)
	length := []string{strconv.Itoa(size)}
	kind := []string{"text/javascript"}
	return func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header["Content-Type"], header["Content-Length"] = kind, length
		for sent := 0; sent < size; sent += piece {
			_, _ = w.Write(content)
		}
	}
}

// Echoing answers with the content of the request once it is there, all of it.
func Echoing(t testing.TB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		_, _ = w.Write(content)
	}
}

// Limiting answers 413, with the content "too much", to content that has to be longer than so many bytes.
func Limiting(t testing.TB, limit int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		_, err := io.Copy(io.Discard, r.Body)
		_, ok := errors.AsType[*http.MaxBytesError](err)
		assert.True(t, ok)
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	}
}

// Hijacking takes the connection over, hands it to use with what the client may have sent already, and closes it after that.
func Hijacking(t testing.TB, use func(c net.Conn, buffered *bufio.ReadWriter)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, buffered, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			defer c.Close()
			use(c, buffered)
		}
	}
}

// Stalled answers 408 to content that has to stop coming, for as long as the server's ProgressTimeout says.
func Stalled(t testing.TB, after time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		AssertStalled(t, exchange.StallError{After: after}, err)
		assert.NoError(t, r.Context().Err(), "the client may still be there")
		_, again := r.Body.Read(make([]byte, 1))
		assert.Equal(t, err, again)
		w.WriteHeader(http.StatusRequestTimeout)
	}
}

// AssertStalled holds an error to blame a client as want does, whose Err is not compared.
func AssertStalled(t testing.TB, want exchange.StallError, err error) {
	t.Helper()
	stalled, ok := errors.AsType[*exchange.StallError](err)
	if assert.True(t, ok, "%v", err) {
		assert.Equal(t, want.Writing, stalled.Writing)
		assert.Equal(t, want.After, stalled.After)
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
}

// AssertNotStalled holds an error to be one of a deadline that is not the server's: nobody is blamed for it.
func AssertNotStalled(t testing.TB, err error) {
	t.Helper()
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, blamed := errors.AsType[*exchange.StallError](err)
	assert.False(t, blamed, "%v", err)
}

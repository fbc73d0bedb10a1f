package transport

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A client of gRPC may send nothing on a stream before it learns how that has ended.
func TestTransport_TellsAClientThatSendsNoMoreOfTheStreamsEnd(t *testing.T) {
	backend := newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadFull(r.Body, make([]byte, 1)); err != nil {
			return
		}
		switch r.URL.Path {
		case "/none":
			panic(http.ErrAbortHandler)
		case "/broken":
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "whole")
	})
	for path, want := range map[string]struct {
		status int
		body   string // empty: it breaks off
		failed bool
	}{
		"/whole":  {http.StatusOK, "whole", false},
		"/none":   {http.StatusBadGateway, explanation(http.StatusBadGateway) + "\n", true},
		"/broken": {http.StatusOK, "", true},
	} {
		check := func(t *testing.T, front *front, response *http.Response) {
			t.Helper()
			assert.Equal(t, want.status, response.StatusCode)
			body, err := io.ReadAll(response.Body)
			if want.body != "" {
				require.NoError(t, err)
				assert.Equal(t, want.body, string(body))
			} else {
				require.Error(t, err)
			}
			if failure := front.state(t).Failure; want.failed {
				require.NotNil(t, failure)
				assert.Equal(t, http.StatusBadGateway, failure.Status)
			} else {
				assert.Nil(t, failure)
			}
		}
		t.Run("HTTP/2"+path, func(t *testing.T) {
			front := newFront(t, backend, setting{secure: true})
			up, feed := io.Pipe()
			defer feed.Close()
			go func() { _, _ = io.WriteString(feed, "x") }()
			response, err := front.Client().Do(front.request(t, http.MethodPost, path, up))
			require.NoError(t, err)
			defer response.Body.Close()
			check(t, front, response)
		})
		t.Run("HTTP/1.1"+path, func(t *testing.T) {
			front := newFront(t, backend, setting{})
			c := front.connect(t)
			c.send("POST " + path + " HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
			response, err := http.ReadResponse(c.Reader, nil)
			require.NoError(t, err)
			check(t, front, response)
		})
	}
}

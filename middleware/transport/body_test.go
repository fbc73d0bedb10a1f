package transport

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestRequestBody_IsGivenAgainOnlyUntilItIsRead(t *testing.T) {
	b := newRequestBody(httptest.NewRequest("POST", "/", strings.NewReader("body")))
	first := b.lend()
	require.NoError(t, first.Close(), "as net/http does before it tries again")
	_, err := first.Read(make([]byte, 1))
	require.ErrorIs(t, err, errFinished)
	assert.False(t, b.touched())
	all, err := io.ReadAll(b.lend())
	require.NoError(t, err)
	assert.Equal(t, "body", string(all))
	assert.True(t, b.ended())
	assert.True(t, b.touched())
}

func TestRequestBody_IsNotReadOnceTheRequestIsAnswered(t *testing.T) {
	b := newRequestBody(httptest.NewRequest("POST", "/", strings.NewReader("body")))
	b.finish()
	_, err := io.ReadAll(b)
	require.ErrorIs(t, err, errFinished)
	assert.False(t, b.touched())
	assert.NoError(t, b.failure(), "it is not the client's")
}

func TestServerName_IsTheBackendsWhereTheClientAskedForNone(t *testing.T) {
	backend := &pipeline.Backend{Scheme: pipeline.HTTPS, Address: "backend.example:443"}
	assert.Equal(t, "backend.example", serverName(&http.Request{Host: "not a host"}, backend))
	assert.Equal(t, "app.example", serverName(&http.Request{Host: "APP.example:8443"}, backend))
}

func TestExchange_BoundsTheRestOfARequestThatIsAnsweredAlready(t *testing.T) {
	for _, read := range []bool{false, true} {
		r := httptest.NewRequest("POST", "/", strings.NewReader("content"))
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		x := &exchange{w: w, r: r, body: newRequestBody(r)}
		if read {
			_, _ = io.Copy(io.Discard, x.body)
		}
		x.closeAfter()
		x.linger()
		if read {
			assert.Empty(t, w.Header().Get("Connection"))
			assert.True(t, w.read.IsZero())
		} else {
			assert.Equal(t, "close", w.Header().Get("Connection"))
			assert.WithinDuration(t, time.Now().Add(lingerTimeout), w.read, time.Minute)
		}
	}
}

type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = at
	return nil
}

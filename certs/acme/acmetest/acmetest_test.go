package acmetest_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

func client(t *testing.T, s *acmetest.Server) *http.Client {
	root, err := os.ReadFile(s.CACert())
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(root))
	// Without connections that are kept, so that no request is repeated after one was closed.
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string, error) {
	answer, err := c.Get(url)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer, string(body), nil
}

func TestServer_AnswersCountsAndFails(t *testing.T) {
	t.Parallel()
	s := acmetest.Start(t, acmetest.Options{Profiles: map[string]time.Duration{"short": time.Minute}})
	c := client(t, s)
	_, body, err := get(t, c, s.Directory())
	require.NoError(t, err)
	assert.Contains(t, body, "newOrder")
	assert.Contains(t, body, `"short"`)

	s.Fail(acmetest.Fault{
		Endpoint: acmetest.Directory, Times: 1, Status: 429, Problem: "rateLimited", Detail: "slowly", RetryAfter: "7",
	})
	answer, body, err := get(t, c, s.Directory())
	require.NoError(t, err)
	assert.Equal(t, 429, answer.StatusCode)
	assert.Equal(t, "7", answer.Header.Get("Retry-After"))
	assert.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
	assert.Contains(t, body, "urn:ietf:params:acme:error:rateLimited")
	answer, _, err = get(t, c, s.Directory())
	require.NoError(t, err)
	assert.Equal(t, 200, answer.StatusCode, "it was for one request")

	mend := s.Fail(acmetest.Fault{Lose: true})
	_, _, err = get(t, c, s.Directory())
	require.ErrorIs(t, err, io.EOF)
	mend()
	mend()
	assert.Equal(t, 4, s.Requests(acmetest.Directory))
	assert.Equal(t, 4, s.Requests(""))
}

func TestServer_HangsUntilItIsMendedOrStopped(t *testing.T) {
	t.Parallel()
	s := acmetest.Start(t, acmetest.Options{})
	c := client(t, s)
	for n, end := range []func(mend func()){func(mend func()) { mend() }, func(func()) { s.Stop() }} {
		mend := s.Fail(acmetest.Fault{Hang: true})
		ended := make(chan error, 1)
		go func() {
			_, _, err := get(t, c, s.Directory())
			ended <- err
		}()
		require.Eventually(t, func() bool { return s.Requests("") == n+1 }, 30*time.Second, time.Millisecond)
		require.Empty(t, ended)
		end(mend)
		require.Error(t, <-ended)
		mend()
	}
	_, _, err := get(t, c, s.Directory())
	require.ErrorContains(t, err, "refused")
	s.Restart()
	_, _, err = get(t, c, s.Directory())
	require.NoError(t, err)
}

func TestForward_SendsAValidationToTheInstanceThatIsPicked(t *testing.T) {
	t.Parallel()
	s := acmetest.Start(t, acmetest.Options{})
	c := client(t, s)
	at := "http://127.0.0.1:" + strconv.Itoa(s.HTTPPort()) + "/x"
	_, _, err := get(t, c, at)
	require.ErrorIs(t, err, io.EOF, "nobody answers")
	other := acmetest.Start(t, acmetest.Options{}) // any HTTP server
	other.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	s.Answer(acmetest.Forward(func(*http.Request) string { return "127.0.0.1:" + strconv.Itoa(other.HTTPPort()) }))
	_, body, err := get(t, c, at)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(body, strconv.Itoa(s.HTTPPort())), "the host stays: %s", body)
	assert.Equal(t, 2, s.Validations("127.0.0.1"))
}

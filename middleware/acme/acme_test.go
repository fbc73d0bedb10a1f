package acme

import (
	"context"
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

const token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"

// known answers one token, and tells on asked what it was asked for.
func known(asked chan<- string) http.Handler {
	return New(func(_ context.Context, asking string) (string, bool) {
		asked <- asking
		return token + ".thumbprint", asking == token
	})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "passed") }))
}

func TestACME_AnswersOnEitherPort(t *testing.T) {
	asked := make(chan string, 64)
	handler := known(asked)
	for name, start := range map[string]func(http.Handler) *httptest.Server{
		"HTTP": httptest.NewServer, "HTTPS": httptest.NewTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			server := start(handler)
			defer server.Close()
			for _, c := range []struct {
				method, target string
				status         int
				body           string // empty: not looked at
				asked          bool
			}{
				{"GET", pipeline.ChallengePath + token, 200, token + ".thumbprint", true},
				{"GET", pipeline.ChallengePath + token + "?x=y", 200, token + ".thumbprint", true},
				{"HEAD", pipeline.ChallengePath + token, 200, "", true},
				{"GET", pipeline.ChallengePath + token[1:], 404, "", true},
				{"GET", pipeline.ChallengePath + strings.Repeat("a", 128), 404, "", true},
				{"GET", pipeline.ChallengePath + strings.Repeat("a", 129), 404, "", false},
				{"GET", pipeline.ChallengePath, 404, "", false},
				{"GET", pipeline.ChallengePath + token + "=", 404, "", false},
				{"GET", pipeline.ChallengePath + "a+b", 404, "", false},
				{"GET", pipeline.ChallengePath + "a/b", 404, "", false},
				{"GET", pipeline.ChallengePath + "a%2Fb", 404, "", false},
				{"GET", pipeline.ChallengePath + "..", 404, "", false},
				{"GET", pipeline.ChallengePath + "%2e%2e%2Faccount", 404, "", false},
				{"POST", pipeline.ChallengePath + token, 405, "", false},
				{"DELETE", pipeline.ChallengePath + token, 405, "", false},
				{"GET", "/", 200, "passed", false},
				{"POST", "/.well-known/acme-challenge", 200, "passed", false},
				{"GET", "/.well-known/acme%2Dchallenge/" + token, 200, "passed", false},
				{"GET", "/x" + pipeline.ChallengePath + token, 200, "passed", false},
			} {
				r, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.target, nil)
				require.NoError(t, err)
				response, err := server.Client().Do(r)
				require.NoError(t, err)
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				_ = response.Body.Close()
				assert.Equal(t, c.status, response.StatusCode, "%s %s", c.method, c.target)
				if c.body != "" {
					assert.Equal(t, c.body, string(body), "%s %s", c.method, c.target)
				}
				if c.status == http.StatusMethodNotAllowed {
					assert.Equal(t, "GET, HEAD", response.Header.Get("Allow"))
				}
				if c.status == http.StatusOK && c.asked {
					assert.Equal(t, "application/octet-stream", response.Header.Get("Content-Type"))
					assert.Equal(t, int64(len(token+".thumbprint")), response.ContentLength)
				}
				require.Len(t, asked, map[bool]int{false: 0, true: 1}[c.asked], "%s %s", c.method, c.target)
				if c.asked {
					<-asked
				}
			}
		})
	}
}

func TestACME_BoundsTheQuestionByTheRequest(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	server := httptest.NewServer(New(func(ctx context.Context, _ string) (string, bool) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return "", false
	})(http.NotFoundHandler()))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+pipeline.ChallengePath+token, nil)
	require.NoError(t, err)
	go func() {
		<-began
		cancel() // the client leaves
	}()
	_, err = server.Client().Do(r)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, <-ended, context.Canceled)
}

func TestACME_CostsNothingOnOtherPaths(t *testing.T) {
	handler := New(nil)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/path?query", nil)
	assert.Zero(t, testing.AllocsPerRun(100, func() { handler.ServeHTTP(w, r) }))
}

func FuzzACME(f *testing.F) {
	for _, target := range []string{pipeline.ChallengePath + token, pipeline.ChallengePath + "..", pipeline.ChallengePath + "a?b", "http://a" + pipeline.ChallengePath + "x", "*"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		handler := New(func(_ context.Context, asked string) (string, bool) {
			require.Regexp(t, `^[A-Za-z0-9_-]{1,128}$`, asked)
			return "", false
		})(http.NotFoundHandler())
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = target
		handler.ServeHTTP(httptest.NewRecorder(), r)
	})
}

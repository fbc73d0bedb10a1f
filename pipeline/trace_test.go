package pipeline

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func answering(stages ...string) []Stage {
	chain := make([]Stage, 0, len(stages))
	for _, name := range stages {
		chain = append(chain, Stage{Name: name, Wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("X-Seen-By", name)
				w.Header().Set("Set-Cookie", "session=secret-3")
				w.Header()["set-cookie"] = []string{"session=secret-4"}
				w.Header()[http.TrailerPrefix+"Set-Cookie"] = []string{"session=secret-5"}
				w.Header().Add("X-Answered-By", name)
				if name != stages[len(stages)-1] {
					next.ServeHTTP(w, r)
				}
			})
		}})
	}
	return chain
}

func exchangeSecrets(t *testing.T, level slog.Level) string {
	var log bytes.Buffer
	chain, err := New(answering("first", "second"),
		slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})))
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/path?token=secret-0", nil)
	r.Header.Set("Authorization", "Bearer secret-1")
	r.Header.Add("Cookie", "session=secret-2")
	r.Header["proxy-authorization"] = []string{"Basic secret-6"}
	r.Header.Set("Accept", "text/html")
	chain.ServeHTTP(httptest.NewRecorder(), r)
	return log.String()
}

func TestTrace_LogsHeadersAtEachStage(t *testing.T) {
	log := exchangeSecrets(t, LevelTrace)
	lines := strings.Split(strings.TrimSpace(log), "\n")
	require.Len(t, lines, 4)
	for i, want := range [][]string{
		{"request headers", "stage=first", "method=GET", "host=example.com", "path=/path ", "headers.Accept=text/html"},
		{"request headers", "stage=second", "headers.X-Seen-By=first"},
		{"response headers", "stage=second", `headers.X-Answered-By="first, second"`},
		{"response headers", "stage=first", "headers.Set-Cookie=***"},
	} {
		for _, part := range want {
			assert.Contains(t, lines[i], part)
		}
	}
	assert.Contains(t, lines[0], "headers.Authorization=*** headers.Cookie=***")
	assert.NotContains(t, lines[0], "X-Seen-By")
}

func TestTrace_MasksWhatLetsAReaderOfTheLogActAsTheClient(t *testing.T) {
	assert.NotContains(t, exchangeSecrets(t, LevelTrace), "secret")
}

func TestTrace_IsSilentAtDebug(t *testing.T) {
	assert.Empty(t, exchangeSecrets(t, slog.LevelDebug))
}

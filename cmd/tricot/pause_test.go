package main_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStreaming_GivesTheBeginningOfAnAnswerWhoseBackendPauses(t *testing.T) {
	t.Parallel()
	codings := []string{"identity"}
	for coding := range decoders {
		codings = append(codings, coding)
	}
	first, second := strings.Repeat("first ", 200), strings.Repeat("second ", 200)
	overEach(t, func(t *testing.T, protocol protocol) {
		seen := make(map[string]chan struct{})
		var services []service
		for _, coding := range codings {
			seen[coding] = make(chan struct{})
			services = append(services, serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("Content-Length", "2600")
				_, _ = io.WriteString(w, first)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-seen[coding]:
					_, _ = io.WriteString(w, second)
				case <-r.Context().Done():
				}
			}).service(t, coding, "tricot app.test/"+coding))
		}
		p := start(t, config{"middleware.compress.enabled": true}, services...)
		client := p.client(t, protocol)
		for _, coding := range codings {
			response := open(t, client, newRequest(t, http.MethodGet, "https://app.test/"+coding, nil, "Accept-Encoding", coding))
			content := io.Reader(response.Body)
			if decoder := decoders[coding]; decoder != nil {
				require.Equal(t, coding, response.Header.Get("Content-Encoding"))
				content = decoder(t, content)
			}
			got := make([]byte, len(first))
			_, err := io.ReadFull(content, got)
			require.NoError(t, err)
			assert.Equal(t, first, string(got))
			close(seen[coding])
			rest, err := io.ReadAll(content)
			require.NoError(t, err)
			assert.Equal(t, second, string(rest))
		}
	})
}

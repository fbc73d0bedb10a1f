package pipeline

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEnter_RemovesWhatTheClientsConnectionNames(t *testing.T) {
	for name, c := range map[string]struct{ connection, left []string }{
		"nothing":                {nil, []string{"Te", "Upgrade", "X-One", "X-Two"}},
		"usual options":          {[]string{"keep-alive, Upgrade"}, []string{"Te", "Upgrade", "X-One", "X-Two"}},
		"a field":                {[]string{"x-one"}, []string{"Te", "Upgrade", "X-Two"}},
		"fields, in any case":    {[]string{"close, X-ONE ,, x-Two"}, []string{"Te", "Upgrade"}},
		"fields, over several":   {[]string{"x-two", "TE, x-one"}, []string{"Te", "Upgrade"}},
		"what is for the switch": {[]string{"upgrade, te, connection"}, []string{"Te", "Upgrade", "X-One", "X-Two"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header = http.Header{"X-One": {"1"}, "X-Two": {"2"}, "Upgrade": {"a"}, "Te": {"trailers"}}
			want := c.left
			if c.connection != nil {
				r.Header["Connection"] = c.connection
				want = append([]string{"Connection"}, want...)
			}
			_, w, entered := Enter(httptest.NewRecorder(), r)
			assert.Equal(t, want, slices.Sorted(maps.Keys(entered.Header)))

			entered.Header.Set("X-One", "a stage's")
			_, _, again := Enter(w, entered)
			assert.Equal(t, "a stage's", again.Header.Get("X-One"), "what stages add stays")
		})
	}
}

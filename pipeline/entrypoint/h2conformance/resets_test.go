package h2conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/http2"
)

// CVE-2023-44487 and CVE-2025-8671 once more, of handlers that end with their streams as they should: there is always room
// for the next one, so the handlers at a time bound nothing.
func TestHTTP2_EndsTheConnectionOfAClientWhoseStreamsAreResetAgainAndAgain(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(stream uint32) frame{
		"by itself":                   func(stream uint32) frame { return reset(stream, http2.ErrCodeCancel) },
		"for WINDOW_UPDATE of 0":      func(stream uint32) frame { return windowUpdate(stream, 0) },
		"for a window beyond 2^31-1":  func(stream uint32) frame { return windowUpdate(stream, 1<<31-1) },
		"for DATA on a closed stream": func(stream uint32) frame { return data(stream, endStream, "x") },
		"for PRIORITY of itself":      func(stream uint32) frame { return priorityOf(stream, stream, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const most, atOnce, inASecond = 20_000, 1000, 33
			s := serve(t)
			c := s.dial(t)
			begun := time.Now()
			for i := range uint32(most) {
				if stream := 2*i + 1; !c.send(getWaiting(stream), wrong(stream)) {
					break
				}
			}
			c.await(connectionError(http2.ErrCodeEnhanceYourCalm))
			seconds := int(time.Since(begun)/time.Second) + 1
			limit := atOnce + inASecond*seconds + int(c.settings[http2.SettingMaxConcurrentStreams])
			assert.LessOrEqual(t, len(s.callsOn(c)), limit)
			s.requireServesOthers(t)
		})
	}
}

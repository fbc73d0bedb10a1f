package entrypoint

import (
	"bytes"
	"context"
	"log/slog"
)

// errorLog takes the lines of net/http's server log. What clients cause, by accident or on purpose, is at debug: whoever
// listens on the internet gets it all day long. The rest is about handlers that use the response wrongly.
type errorLog struct{ log *slog.Logger }

func (e *errorLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if clientCaused(line) {
		level = slog.LevelDebug
	}
	if ctx := context.Background(); e.log.Enabled(ctx, level) {
		e.log.LogAttrs(ctx, level, "server", slog.String("error", string(bytes.TrimSpace(line))))
	}
	return len(line), nil
}

// clientCaused knows such a line by its beginning.
func clientCaused(line []byte) bool {
	for _, beginning := range [...]string{
		"http: TLS handshake error",
		"http2: server",
		"http2: received GOAWAY",
		"timeout waiting for",
	} {
		if bytes.HasPrefix(line, []byte(beginning)) {
			return true
		}
	}
	return false
}

package entrypoint

import (
	"bytes"
	"context"
	"log/slog"
)

// errorLog takes the lines of net/http's server log. What clients cause, by accident or on purpose, is at debug: whoever
// listens on the internet gets it all day long. The rest is about handlers that use the response wrongly.
type errorLog struct{ log *slog.Logger }

// clientCaused are the beginnings of such lines.
var clientCaused = [][]byte{
	[]byte("http: TLS handshake error"),
	[]byte("http2: server"),
	[]byte("http2: received GOAWAY"),
	[]byte("timeout waiting for"),
}

func (e *errorLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	for _, beginning := range clientCaused {
		if bytes.HasPrefix(line, beginning) {
			level = slog.LevelDebug
			break
		}
	}
	if ctx := context.Background(); e.log.Enabled(ctx, level) {
		e.log.LogAttrs(ctx, level, "server", slog.String("error", string(bytes.TrimSpace(line))))
	}
	return len(line), nil
}

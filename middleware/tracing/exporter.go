package tracing

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// maxCause is how many bytes of an error are logged: a collector's answer is part of it.
const maxCause = 500

// reporting says in the log when spans begin to be lost, and when they are exported again.
type reporting struct {
	sdk.SpanExporter
	log *slog.Logger

	mu      sync.Mutex
	failing bool
	lost    int // spans, since it began
}

// ExportSpans never returns an error.
func (e *reporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil:
		if !e.failing {
			cause := err.Error()
			e.log.Warn("spans cannot be exported, and are lost", "cause", strings.ToValidUTF8(cause[:min(len(cause), maxCause)], ""))
		}
		e.failing = true
		e.lost += len(spans)
	case e.failing:
		e.log.Info("spans are exported again", "lost", e.lost)
		e.failing, e.lost = false, 0
	}
	return nil
}

package cmd

import (
	"io"
	standard "log"
	"log/slog"

	"github.com/tricot-proxy/tricot/pipeline"
)

// newLogger writes text or JSON lines to w.
func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if level <= pipeline.LevelTrace {
		options.ReplaceAttr = nameTrace
	}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// takeStandardLog makes lines at debug of what libraries say through package log: net/http does of backends that break the
// rules of HTTP/2.
func takeStandardLog(log *slog.Logger) {
	standard.SetFlags(0)
	standard.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
}

// nameTrace has slog say TRACE for the level that it would call DEBUG-4.
func nameTrace(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && attr.Key == slog.LevelKey && attr.Value.Any() == pipeline.LevelTrace {
		attr.Value = slog.StringValue("TRACE")
	}
	return attr
}

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/accesslog"
	"github.com/tricot-proxy/tricot/middleware/metrics"
	"github.com/tricot-proxy/tricot/middleware/tracing"
	"github.com/tricot-proxy/tricot/middleware/transport"
)

// lastSpans is how long the end waits for the spans that are left.
const lastSpans = 5 * time.Second

// equipment is what stages work with that has to be closed in the end. Where settings are only checked there is none of it.
type equipment struct {
	output      *accesslog.Output
	counts      *metrics.Requests
	tracer      *tracing.Tracer
	connections *transport.Connections
}

// equip opens what the stages of the settings need.
func equip(s *settings.Settings, log *slog.Logger) (e equipment, err error) {
	e.counts = metrics.New()
	defer func() {
		if err != nil {
			e.close(log)
		}
	}()
	set := s.Middleware.Transport
	if e.connections, err = transport.NewConnections(transport.ConnectionOptions{
		ConnectTimeout:    set.ConnectTimeout,
		IdleTimeout:       set.IdleTimeout,
		MaxAge:            set.MaxAge,
		MaxIdlePerBackend: set.MaxIdlePerBackend,
		MaxIdle:           set.MaxIdle,
	}); err != nil {
		return e, err
	}
	if slices.Contains(s.Stages(), accesslog.Name) {
		if e.output, err = openLines(s, log); err != nil {
			return e, err
		}
	}
	if slices.Contains(s.Stages(), tracing.Name) {
		e.tracer, err = tracing.New(context.Background(), tracing.Options{Version: release(), Instance: s.NodeName, Log: log})
	}
	return e, err
}

// openLines opens where the access log goes.
func openLines(s *settings.Settings, log *slog.Logger) (*accesslog.Output, error) {
	options := accesslog.OutputOptions{Path: s.Middleware.AccessLog.Path, Log: log}
	switch options.Path {
	case "stdout":
		options.Path, options.Writer = "", os.Stdout
	case "stderr":
		options.Path, options.Writer = "", os.Stderr
	}
	output, err := accesslog.Open(options)
	if err != nil {
		return nil, fmt.Errorf("middleware.access_log.path: %w", err)
	}
	return output, nil
}

// lines is where the access log goes; nil where settings are only checked.
func (e *equipment) lines() io.Writer {
	if e.output == nil {
		return nil
	}
	return e.output
}

// trace gives the stage that makes spans. Where settings are only checked, so is the environment that it is set up by.
func (e *equipment) trace() (func(http.Handler) http.Handler, error) {
	if e.tracer != nil {
		return e.tracer.Stage, nil
	}
	checked, err := tracing.New(context.Background(), tracing.Options{})
	if err != nil {
		return nil, err
	}
	return checked.Stage, checked.Shutdown(context.Background())
}

// close closes all of it. Requests have ended.
func (e *equipment) close(log *slog.Logger) {
	if e.connections != nil {
		e.connections.Close()
	}
	var wrong []error
	if e.tracer != nil {
		ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
		defer cancel()
		wrong = append(wrong, e.tracer.Shutdown(ctx))
	}
	if e.output != nil {
		wrong = append(wrong, e.output.Close())
	}
	if err := errors.Join(wrong...); err != nil {
		log.Warn("not everything could be written at the end", "error", err)
	}
}

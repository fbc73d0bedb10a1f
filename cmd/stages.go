package cmd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/accesslog"
	"github.com/tricot-proxy/tricot/middleware/acme"
	"github.com/tricot-proxy/tricot/middleware/balance"
	"github.com/tricot-proxy/tricot/middleware/compress"
	"github.com/tricot-proxy/tricot/middleware/headers"
	"github.com/tricot-proxy/tricot/middleware/metrics"
	"github.com/tricot-proxy/tricot/middleware/redirect"
	"github.com/tricot-proxy/tricot/middleware/requestid"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/middleware/tracing"
	"github.com/tricot-proxy/tricot/middleware/transport"
	"github.com/tricot-proxy/tricot/pipeline"
)

// surroundings is what stages are made of besides their settings.
type surroundings struct {
	settings   *settings.Settings
	log        *slog.Logger
	router     *route.Router
	challenges *certs.Challenges
	equipment
}

// A plan is a stage that is not built yet, so that an order can be checked before anything is opened.
type plan struct {
	pipeline.Stage // without Wrap
	build          func(surroundings) (func(http.Handler) http.Handler, error)
}

// builtin are Tricot's own stages in the order that is the default. It matters:
//
// access_log is first, to see what every other stage made of the request, and metrics next to it. request_id and tracing give
// the request its names before anything is done with it. redirect is ahead of all that costs something,
// and lets challenges through to acme, which is ahead of route, for no rule may claim them. headers comes before compress
// and so has the last word on the fields that tags name: compress decides by those that the backend sent. balance tries
// again what fails behind it: the transport, and nothing else.
func builtin() []plan {
	return []plan{
		{pipeline.Stage{Name: accesslog.Name}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			return accesslog.New(accesslog.Options{Log: with.log, Format: with.settings.Middleware.AccessLog.Format, Output: with.lines()}), nil
		}},
		{pipeline.Stage{Name: metrics.Name}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			return with.counts.Stage, nil
		}},
		{pipeline.Stage{Name: requestid.Name}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			return requestid.New(requestid.Options{
				OnlyTrusted:    with.settings.Middleware.RequestID.OnlyTrusted,
				TrustedProxies: with.settings.Forwarded.TrustedProxies,
			})
		}},
		{pipeline.Stage{Name: tracing.Name}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			return with.trace()
		}},
		{pipeline.Stage{Name: redirect.Name}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			return redirect.New(redirect.Options{Port: redirectPort(with.settings)})
		}},
		{pipeline.Stage{Name: acme.Name}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			return acme.New(with.challenges.Answer), nil
		}},
		{pipeline.Stage{Name: route.Name}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			return route.New(with.router), nil
		}},
		{pipeline.Stage{Name: headers.Name, Needs: []string{headers.Needs}}, func(surroundings) (func(http.Handler) http.Handler, error) {
			return headers.New(), nil
		}},
		{pipeline.Stage{Name: compress.Name}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			set := with.settings.Middleware.Compress
			return compress.New(compress.Options{MIMETypes: set.MIMETypes, MinLength: int64(set.MinLength)})
		}},
		{pipeline.Stage{Name: balance.Name, Needs: []string{balance.Needs}}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			return balance.New(balance.Options{Retries: &with.settings.Balance.Retries, Log: with.log}), nil
		}},
		{pipeline.Stage{Name: transport.Name, Needs: []string{transport.Needs}}, func(with surroundings) (func(http.Handler) http.Handler, error) {
			set := with.settings.Middleware.Transport
			return transport.New(transport.Options{
				TrustedProxies:        with.settings.Forwarded.TrustedProxies,
				ResponseHeaderTimeout: set.ResponseHeaderTimeout,
				ProgressTimeout:       set.ProgressTimeout,
				Connections:           with.connections,
				Log:                   with.log,
			})
		}},
	}
}

// chosen gives the stages that the settings ask for, in their order. The error names every need that the order breaks.
func chosen(s *settings.Settings, custom []Stage) ([]plan, error) {
	byName := make(map[string]plan)
	for _, plan := range builtin() {
		byName[plan.Name] = plan
	}
	for _, stage := range custom {
		byName[stage.Name] = plan{
			pipeline.Stage{Name: stage.Name, Needs: stage.Needs, Provides: stage.Provides},
			func(surroundings) (func(http.Handler) http.Handler, error) { return stage.New() },
		}
	}
	var plans []plan
	var stages []pipeline.Stage
	for _, name := range s.Stages() {
		plans = append(plans, byName[name])
		stages = append(stages, byName[name].Stage)
	}
	return plans, pipeline.Check(stages)
}

// chain builds the pipeline.
func chain(plans []plan, with surroundings) (http.Handler, error) {
	stages := make([]pipeline.Stage, len(plans))
	var wrong []error
	for i, plan := range plans {
		stages[i] = plan.Stage
		wrap, err := plan.build(with)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("middleware.%s: %w", plan.Name, err))
		}
		stages[i].Wrap = wrap
	}
	if wrong != nil {
		return nil, errors.Join(wrong...)
	}
	return pipeline.New(stages, with.log)
}

// redirectPort is where clients of plain HTTP are sent to.
func redirectPort(s *settings.Settings) int {
	if port := s.Middleware.Redirect.Port; port != 0 {
		return port
	}
	_, port, _ := net.SplitHostPort(s.HTTPS.BindAddr)
	n, err := strconv.Atoi(port)
	if err != nil || n == 0 {
		return 443
	}
	return n
}

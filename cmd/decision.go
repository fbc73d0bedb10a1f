package cmd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/cmd/admin"
	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/acme"
	"github.com/tricot-proxy/tricot/middleware/compress"
	"github.com/tricot-proxy/tricot/middleware/headers"
	"github.com/tricot-proxy/tricot/middleware/redirect"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// challenges is the path prefix of the ACME challenges (RFC 8555, section 8.3).
const challenges = "/.well-known/acme-challenge/"

// The outcomes of a request.
const (
	proxied     = "proxied"     // to a backend
	redirected  = "redirected"  // from plain HTTP to HTTPS
	challenge   = "challenge"   // answered by the acme stage
	unavailable = "unavailable" // rules match, and no backend can serve: 503
	unrouted    = "unrouted"    // no rule matches: 404
	refused     = "refused"     // it is no request that could be served: 400
)

// A decision is all that is decided about one request, as /api/explain and tricot explain give it.
type decision struct {
	URL  string `json:"url"`
	Host string `json:"host,omitempty"` // in canonical form
	Path string `json:"path,omitempty"` // as the client sends it
	// Outcome is one of those above, Reason a sentence's part on it.
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Location is where a redirect leads to.
	Location string `json:"location,omitempty"`
	// Matched is host, path and priority of the route.
	Matched string `json:"matched,omitempty"`
	// Rules are all that the host leads to, in the order in which they are considered.
	Rules []judged `json:"rules"`
	// Backends take turns. Headers are set on what they answer, "Name: value", with the backend where they differ.
	Backends []admin.Backend `json:"backends"`
	Headers  []string        `json:"headers,omitempty"`
	// Compression says whether and when an answer is compressed.
	Compression string `json:"compression"`
	// Certificate serves the handshake; nil for plain HTTP, and where it is not known.
	Certificate *admin.Certificate `json:"certificate,omitempty"`
}

// judged is a rule and what becomes of it.
type judged struct {
	Host     string        `json:"host"`
	Path     string        `json:"path"`
	Priority int           `json:"priority"`
	Outcome  route.Outcome `json:"outcome"`
	Reason   string        `json:"reason"`
	Backend  admin.Backend `json:"backend"`
}

// explainer decides as the running pipeline does, on the same table.
type explainer struct {
	settings *settings.Settings
	explain  func(host, path string) route.Explanation
	// certificate gives what serves a name; nil where that is not known.
	certificate func(ctx context.Context, name string) *admin.Certificate
}

// decide gives the decision on a GET request to a URL. The error is for a URL that is none.
func (e *explainer) decide(ctx context.Context, text string) (*decision, error) {
	r, err := requestTo(text)
	if err != nil {
		return nil, err
	}
	d := &decision{URL: text, Rules: []judged{}, Backends: []admin.Backend{}}
	host, ok := pipeline.Host(r)
	if !ok {
		d.Outcome, d.Reason = refused, "the host is not one"
		return d, nil
	}
	d.Host, d.Path = host, pipeline.Path(r)
	stages := e.settings.Stages()
	if r.TLS == nil && slices.Contains(stages, redirect.Name) && !strings.HasPrefix(d.Path, challenges) {
		if err := e.redirects(d, r); err != nil {
			return nil, err
		}
		return d, nil
	}
	if r.TLS != nil && e.certificate != nil {
		d.Certificate = e.certificate(ctx, strings.Trim(host, "[]"))
	}
	if strings.HasPrefix(d.Path, challenges) && slices.Contains(stages, acme.Name) {
		d.Outcome, d.Reason = challenge, "the acme stage answers the challenges of a certificate authority; other tokens go on"
	}
	if slices.Contains(stages, route.Name) {
		e.routes(d, stages)
	} else {
		d.Outcome, d.Reason = unrouted, "the route stage is not part of the pipeline"
	}
	return d, nil
}

// requestTo makes the request that a client would send for a URL.
func requestTo(text string) (*http.Request, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URL: %w", text, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL of a request: expected https://HOST/PATH, or http://", text)
	}
	r := &http.Request{Method: http.MethodGet, Host: u.Host, URL: u, Header: http.Header{}}
	// The path as it was written: url.Parse keeps it, and String would change it.
	r.RequestURI = text[strings.Index(text, "://")+len("://"):]
	if i := strings.IndexAny(r.RequestURI, "/?#"); i >= 0 {
		r.RequestURI = r.RequestURI[i:]
	} else {
		r.RequestURI = "/"
	}
	r.RequestURI, _, _ = strings.Cut(r.RequestURI, "#") // which clients keep to themselves
	if !strings.HasPrefix(r.RequestURI, "/") {
		r.RequestURI = "/" + r.RequestURI
	}
	if u.Scheme == "https" {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	return r, nil
}

// redirects lets the redirect stage itself answer.
func (e *explainer) redirects(d *decision, r *http.Request) error {
	stage, err := redirect.New(redirect.Options{Port: redirectPort(e.settings)})
	if err != nil {
		return err
	}
	answer := &answered{header: http.Header{}}
	stage(http.NotFoundHandler()).ServeHTTP(answer, r)
	d.Outcome, d.Location = redirected, answer.header.Get("Location")
	d.Reason = "plain HTTP is sent to HTTPS: explain the location to see what comes then"
	d.Compression = "the answer is Tricot's own"
	if d.Location == "" {
		d.Outcome, d.Reason = refused, fmt.Sprintf("the redirect stage answers with status %d", answer.status)
	}
	return nil
}

// answered keeps the head of an answer.
type answered struct {
	header http.Header
	status int
}

func (a *answered) Header() http.Header { return a.header }

func (a *answered) WriteHeader(status int) { a.status = status }

func (a *answered) Write(p []byte) (int, error) { return len(p), nil }

// routes fills in what the table decides.
func (e *explainer) routes(d *decision, stages []string) {
	explanation := e.explain(d.Host, d.Path)
	for _, v := range explanation.Verdicts {
		state := admin.Standby
		switch v.Outcome {
		case route.Chosen:
			state = admin.Serving
		case route.Unhealthy:
			state = admin.Unhealthy
		}
		b := backendOf(v.Rule, state)
		d.Rules = append(d.Rules, judged{Host: v.Rule.Host, Path: v.Rule.Path, Priority: v.Rule.Priority,
			Outcome: v.Outcome, Reason: v.Reason, Backend: b})
		if v.Outcome == route.Chosen {
			d.Backends = append(d.Backends, b)
		}
	}
	outcome, reason := proxied, ""
	switch found := explanation.Route; {
	case found == nil:
		outcome, reason = unrouted, "no rule matches: 404"
		if len(d.Rules) == 0 {
			reason = "no rule is for this host: 404"
		}
	default:
		d.Matched = fmt.Sprintf("%s%s, priority %d", found.Host, found.Path, found.Priority)
		if len(found.Tiers) == 0 {
			outcome, reason = unavailable, "no backend of the route can serve now: 503"
		}
	}
	if d.Outcome == "" {
		d.Outcome, d.Reason = outcome, reason
	}
	if outcome != proxied {
		d.Compression = "the answer is Tricot's own"
		return
	}
	if slices.Contains(stages, headers.Name) {
		d.Headers = headersOf(d.Backends)
	}
	d.Compression = e.compression(stages)
}

// headersOf gives the headers that backends set, with the backend's name where not all set the same.
func headersOf(backends []admin.Backend) (all []string) {
	for i, b := range backends {
		for _, h := range b.Headers {
			same := !slices.ContainsFunc(backends, func(other admin.Backend) bool { return !slices.Contains(other.Headers, h) })
			switch {
			case !same:
				all = append(all, fmt.Sprintf("%s (from %s)", h, b.URL))
			case i == 0:
				all = append(all, h)
			}
		}
	}
	return all
}

func (e *explainer) compression(stages []string) string {
	if !slices.Contains(stages, compress.Name) {
		return "off"
	}
	set := e.settings.Middleware.Compress
	return fmt.Sprintf("br, zstd or gzip, as the client accepts, where the backend compresses nothing, the type is one of %s, and the length "+
		"is %d bytes or more, or not known", strings.Join(set.MIMETypes, ", "), set.MinLength)
}

// backendOf shows a rule's backend.
func backendOf(rule route.Rule, state string) admin.Backend {
	b := rule.Backend
	shown := admin.Backend{Service: b.Service, ID: b.ID, Node: b.Node, Site: b.Site, URL: b.String(),
		Balance: balanceName(rule.Balance), State: state}
	if condition := b.Health.Condition(); condition.Ejected() && state != admin.Unhealthy {
		shown.State, shown.Ejected = admin.Ejected, condition.EjectedUntil()
	}
	for _, h := range b.Headers {
		for _, value := range h.Values {
			shown.Headers = append(shown.Headers, h.Name+": "+value)
		}
	}
	return shown
}

// balanceName names what an instance's tags ask for.
func balanceName(balance tag.Balance) string {
	switch balance {
	case tag.Site:
		return "site"
	case tag.Global:
		return "global"
	}
	return "node"
}

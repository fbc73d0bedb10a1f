package cmd

import (
	"context"
	"crypto/tls"
	"errors"
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

// The outcomes of a request.
const (
	proxied     = "proxied"     // to a backend
	redirected  = "redirected"  // from plain HTTP to HTTPS
	challenge   = "challenge"   // answered by the acme stage
	unavailable = "unavailable" // rules match, and no backend can serve: 503
	unrouted    = "unrouted"    // no rule matches: 404
	refused     = "refused"     // the host is not one, over plain HTTP: 400
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

// decide gives the decision on a GET request to a URL: the first stage that answers makes it. The error is for a URL that
// is none.
func (e *explainer) decide(ctx context.Context, text string) (*decision, error) {
	r, err := requestTo(text)
	if err != nil {
		return nil, err
	}
	d := &decision{URL: text, Path: pipeline.Path(r), Rules: []judged{}, Backends: []admin.Backend{}}
	host, isHost := pipeline.Host(r)
	d.Host = host
	if r.TLS != nil && isHost && e.certificate != nil {
		d.Certificate = e.certificate(ctx, strings.Trim(host, "[]"))
	}
	stages := e.settings.Stages()
	for _, stage := range stages {
		switch stage {
		case redirect.Name:
			err = e.redirects(d, r)
		case acme.Name:
			answersChallenge(d)
		case route.Name:
			e.routes(d, isHost, stages)
		}
		if err != nil {
			return nil, err
		}
		if d.Outcome != "" {
			break
		}
	}
	if d.Outcome == "" {
		d.Outcome, d.Reason = unrouted, "the route stage is not part of the pipeline"
	}
	if d.Outcome != proxied {
		d.Compression = "the answer is Tricot's own"
	}
	return d, nil
}

// requestTo makes the request that a client would send for a URL. Its path stays as it is written.
func requestTo(text string) (*http.Request, error) {
	if i := strings.Index(text, "://"); i < 0 || strings.ContainsAny(text[:i], "/?#") { // that one is part of the path
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		var wrong *url.Error
		if errors.As(err, &wrong) {
			err = wrong.Err // it quotes the URL once more
		}
		return nil, fmt.Errorf("%q is not a URL: %w", text, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is not a URL of a request: expected https://HOST/PATH, or http://", text)
	}
	_, target, _ := strings.Cut(text, "://") // url.Parse keeps it, and String would change it
	if i := strings.IndexAny(target, "/?#"); i >= 0 {
		target = target[i:]
	} else {
		target = ""
	}
	target, _, _ = strings.Cut(target, "#") // which clients keep to themselves
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	r := &http.Request{Method: http.MethodGet, Host: u.Host, URL: u, Header: http.Header{}, RequestURI: sendable(target)}
	if u.Scheme == "https" {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	return r, nil
}

// sendable encodes what clients never send as it is: spaces, and what is not ASCII.
func sendable(target string) string {
	var b strings.Builder
	for i := 0; i < len(target); i++ {
		if c := target[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// redirects lets the redirect stage itself answer, or pass the request on.
func (e *explainer) redirects(d *decision, r *http.Request) error {
	stage, err := redirect.New(redirect.Options{Port: redirectPort(e.settings)})
	if err != nil {
		return err
	}
	answer, passed := &answered{header: http.Header{}}, false
	stage(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })).ServeHTTP(answer, r)
	switch location := answer.header.Get("Location"); {
	case passed:
	case location != "":
		d.Outcome, d.Location = redirected, location
		d.Reason = "plain HTTP is sent to HTTPS: explain the location to see what comes then"
	default:
		d.Outcome, d.Reason = refused, fmt.Sprintf("the host is not one: the redirect stage answers with status %d", answer.status)
	}
	return nil
}

// answersChallenge is for the acme stage, which passes no challenge on, whether or not it knows the token.
func answersChallenge(d *decision) {
	if strings.HasPrefix(d.Path, pipeline.ChallengePath) {
		d.Outcome = challenge
		d.Reason = "the acme stage answers the challenges of a certificate authority, and unknown tokens with 404"
	}
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
func (e *explainer) routes(d *decision, isHost bool, stages []string) {
	if !isHost {
		d.Outcome, d.Reason = unrouted, "the host is not one: 404"
		return
	}
	explanation := e.explain(d.Host, d.Path)
	serves, turns := serving(explanation)
	for _, v := range explanation.Verdicts {
		v = insteadOfEjected(v, serves, turns)
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
	switch {
	case serves == nil && len(d.Rules) == 0:
		d.Outcome, d.Reason = unrouted, "no rule is for this host: 404"
		return
	case serves == nil:
		d.Outcome, d.Reason = unrouted, "no rule matches: 404"
		return
	}
	d.Matched = fmt.Sprintf("%s%s, priority %d", serves.Host, serves.Path, serves.Priority)
	if len(turns) == 0 {
		d.Outcome, d.Reason = unavailable, "no backend of the route can serve now: 503"
		return
	}
	d.Outcome = proxied
	if slices.Contains(stages, headers.Name) {
		d.Headers = headersOf(d.Backends)
	}
	d.Compression = e.compression(stages)
}

// serving gives the route whose backends serve, and those that take turns: the first route, of all that the request
// matches, that has any backend which is not left out, and the very first where all are. It is nil where nothing matches,
// and there are no backends where none can serve.
func serving(explanation route.Explanation) (*pipeline.Route, []*pipeline.Backend) {
	for r := explanation.Route; r != nil; r = r.Next(explanation.Host, explanation.Path) {
		if turns, working := turnsIn(r); working {
			return r, turns
		}
	}
	turns, _ := turnsIn(explanation.Route)
	return explanation.Route, turns
}

// turnsIn gives the backends that take turns in a route: those which are not left out, of the first tier that has any.
// Where all are left out they are asked nevertheless, the first tier first, and it is not working. A route that is nil or
// has no tiers has none.
func turnsIn(r *pipeline.Route) (turns []*pipeline.Backend, working bool) {
	if r == nil || len(r.Tiers) == 0 {
		return nil, false
	}
	for _, tier := range r.Tiers {
		for _, b := range tier.Backends {
			if !b.Health.Condition().Ejected() {
				turns = append(turns, b)
			}
		}
		if turns != nil {
			return turns, true
		}
	}
	return r.Tiers[0].Backends, false
}

// insteadOfEjected corrects a verdict, which the table gives, where backends that keep failing are left out.
func insteadOfEjected(v route.Verdict, serves *pipeline.Route, turns []*pipeline.Backend) route.Verdict {
	if v.Outcome != route.Standby || v.Rule.Host != serves.Host || v.Rule.Path != serves.Path ||
		v.Rule.Priority != serves.Priority || !slices.Contains(turns, v.Rule.Backend) {
		return v
	}
	v.Outcome, v.Reason = route.Chosen, "those before it keep failing, and are left out for a while"
	if v.Rule.Backend.Health.Condition().Ejected() {
		v.Reason = "it kept failing, and so did all others"
	}
	return v
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

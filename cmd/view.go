package cmd

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/cmd/admin"
	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/metrics"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// A view is what the admin address shows of a proxy. It implements [admin.Source].
type view struct {
	*proxy
	explainer *explainer
	started   time.Time
	now       func() time.Time

	// serving says that the listeners are open, stopping that they are being closed.
	serving, stopping atomic.Bool
	changes           atomic.Uint64
	snapshots, tables atomic.Uint64
	reopens           atomic.Uint64
	handshakes        handshakes
	instances         atomic.Pointer[[]providers.Instance]

	mutex  sync.Mutex
	health uint64 // what the health of all backends came to when it was looked at last
}

var _ admin.Source = (*view)(nil)

func newView(p *proxy) *view {
	v := &view{proxy: p, started: time.Now(), now: time.Now}
	v.explainer = &explainer{
		settings:    p.settings,
		explain:     func(host, path string) route.Explanation { return p.router.Explain(host, path) },
		certificate: v.certificate,
	}
	return v
}

// site is what the admin address serves.
func (v *view) site() http.Handler {
	return admin.New(admin.Options{Source: v, Token: v.settings.Admin.Token, Log: v.log})
}

func (v *view) Unready() string {
	switch {
	case v.stopping.Load():
		return "shutting down"
	case !closed(v.first):
		return "no table is in force yet: no provider has told of its services"
	case !v.serving.Load():
		return "the listeners are not open yet"
	}
	return ""
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (v *view) Status() admin.Status {
	table := v.router.Table()
	status := admin.Status{
		Version: version(), Node: v.settings.NodeName, Site: v.router.Location().Site, Started: v.started.UTC(), Unready: v.Unready(),
		Hosts: len(table.Hosts()), Rules: len(table.Rules()), Providers: []admin.Provider{},
	}
	for _, p := range v.providers {
		trouble := p.Trouble()
		status.Providers = append(status.Providers, admin.Provider{Name: p.Name(), Since: trouble.Since.UTC(), Problem: trouble.Reason})
	}
	return status
}

// Revision counts what is told, and looks whether what nobody tells of has changed: the health of backends, trouble.
func (v *view) Revision() uint64 {
	var health uint64
	for _, rule := range v.router.Table().Rules() {
		if rule.Backend.Health.Condition().Ejected() {
			health++
		}
		health += ejections(rule.Backend) << 32
	}
	for _, p := range v.providers {
		health = health*31 + uint64(p.Trouble().Since.UnixNano())
	}
	health = health*31 + v.keeper.Revision()
	if v.Unready() == "" {
		health++
	}
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if health != v.health {
		v.health = health
		v.changes.Add(1)
	}
	return v.changes.Load()
}

func ejections(b *pipeline.Backend) uint64 {
	if b.Health == nil {
		return 0
	}
	return b.Health.Ejections.Load()
}

// took takes note of the services that are about to be in force.
func (v *view) took(instances []providers.Instance) {
	v.instances.Store(&instances)
	v.snapshots.Add(1)
}

// applied takes note of a new table.
func (v *view) applied() {
	v.changes.Add(1)
	v.tables.Add(1)
}

func (v *view) Services() []admin.Service {
	all := []admin.Service{}
	if instances := v.instances.Load(); instances != nil {
		for _, i := range *instances {
			all = append(all, admin.Service{Service: i.Service, ID: i.ID, Node: i.Node, Site: i.Site, Address: i.Address, Port: i.Port,
				Healthy: i.Healthy, Tags: shownTags(i.Tags)})
		}
	}
	return all
}

// shownTags leaves the query out of the URL that a tag may have: there may be a secret in it.
func shownTags(tags []string) []string {
	shown := make([]string, len(tags))
	for i, text := range tags {
		shown[i] = route.Masked(text, text)
	}
	return shown
}

func (v *view) Routes() []admin.Route { return routesOf(v.router.Table()) }

// routesOf gives the routes of a table.
func routesOf(table *route.Table) []admin.Route {
	all := []admin.Route{}
	for found, rules := range table.Routes() {
		turns, _ := turnsIn(found)
		shown := admin.Route{Host: found.Host, Path: found.Path, Priority: found.Priority}
		for _, rule := range rules {
			state := admin.Standby
			switch {
			case !rule.Healthy:
				state = admin.Unhealthy
			case slices.Contains(turns, rule.Backend):
				state = admin.Serving
			}
			shown.Backends = append(shown.Backends, backendOf(rule, state))
		}
		all = append(all, shown)
	}
	return all
}

func (v *view) Certificates() []admin.Certificate {
	now := v.now()
	all := []admin.Certificate{}
	for _, status := range v.keeper.Statuses() {
		all = append(all, certificateOf(status, now))
	}
	return all
}

// certificate is what serves a handshake for a name.
func (v *view) certificate(_ context.Context, name string) *admin.Certificate {
	all := v.keeper.Statuses()
	i, found := slices.BinarySearchFunc(all, name, func(s certs.Status, name string) int { return strings.Compare(s.Name, name) })
	switch {
	case !found && v.router.Table().Names(name): // since a moment ago
		return &admin.Certificate{Name: name, State: admin.Missing}
	case !found:
		return unnamed(v.settings, name)
	}
	shown := certificateOf(all[i], v.now())
	return &shown
}

// unknown is the state of a certificate where nobody can say.
const unknown = "unknown"

// unnamed is what serves a name that no rule names, and that got no certificate on demand.
func unnamed(s *settings.Settings, name string) *admin.Certificate {
	problem := "no rule names it, and it has no certificate on demand"
	if s.TLS.StrictSNI {
		problem += ": tls.strict_sni refuses the handshake, unless a wildcard matches it"
	}
	return &admin.Certificate{Name: name, State: admin.SelfSigned, Problem: problem}
}

// certificateOf shows what is known of a name.
func certificateOf(s certs.Status, now time.Time) admin.Certificate {
	c := admin.Certificate{Name: s.Name, Issuer: s.Issuer, From: s.From, To: s.To, Renewal: s.Due, Problem: s.Problem, NextTry: s.NextTry}
	if s.LastError != "" {
		c.Problem = s.LastError
	}
	switch {
	case s.Unsigned != "" && s.To.IsZero():
		c.State, c.Problem = admin.SelfSigned, s.Unsigned
	case s.To.IsZero():
		c.State = admin.Missing
	case !now.Before(s.To):
		c.State = admin.Expired
	case !now.Before(s.Due):
		c.State = admin.Due
	default:
		c.State = admin.Valid
	}
	return c
}

// Problems are what is broken before what is only wrong: providers, backends, certificates, tags, settings.
func (v *view) Problems() []admin.Problem {
	all := []admin.Problem{}
	add := func(kind, subject, reason string) {
		all = append(all, admin.Problem{Kind: kind, Subject: subject, Reason: reason})
	}
	for _, p := range v.providers {
		if trouble := p.Trouble(); !trouble.Since.IsZero() {
			add("provider", p.Name(), fmt.Sprintf("%s, since %s", trouble.Reason, trouble.Since.UTC().Format(time.RFC3339)))
		}
	}
	told := map[string]bool{}
	for _, rule := range v.router.Table().Rules() {
		if condition := rule.Backend.Health.Condition(); condition.Ejected() && !told[rule.Backend.String()] {
			told[rule.Backend.String()] = true
			add("backend", rule.Backend.String(), fmt.Sprintf("it kept failing, and is left out (service %s, instance %s)",
				rule.Backend.Service, rule.Backend.ID))
		}
	}
	for _, c := range v.Certificates() {
		switch {
		case c.State == admin.SelfSigned:
			add("certificate", c.Name, "no issuer signs it: "+c.Problem)
		case c.Problem != "":
			add("certificate", c.Name, c.Problem)
		case c.State == admin.Expired:
			add("certificate", c.Name, "it has expired")
		}
	}
	for _, p := range v.router.Problems() {
		add("tag", p.Service, p.Error())
	}
	for _, odd := range v.settings.Warnings() {
		add("setting", odd.Source, odd.Reason)
	}
	return all
}

func (v *view) Settings() []admin.Setting {
	var all []admin.Setting
	for _, entry := range v.settings.All() {
		all = append(all, admin.Setting{Key: entry.Key, Value: entry.Value, Source: entry.Source})
	}
	return all
}

func (v *view) Traffic() []admin.Traffic {
	var all []admin.Traffic
	bounds := metrics.Bounds()
	seconds := make([]float64, len(bounds))
	for i, bound := range bounds {
		seconds[i] = bound.Seconds()
	}
	for host, counts := range v.equipment.counts.Hosts() {
		t := admin.Traffic{Host: host, Requests: counts.Requests, Errors: counts.Errors, LatencyBounds: seconds}
		var below uint64
		for _, upTo := range counts.Buckets { // these are cumulative
			t.Latency = append(t.Latency, upTo-below)
			below = upTo
		}
		t.Latency = append(t.Latency, counts.Requests-below)
		all = append(all, t)
	}
	return all
}

func (v *view) Explain(url string) (any, error) {
	return v.explainer.decide(context.Background(), url)
}

package cmd

import (
	"crypto/tls"
	"net/http"
	"runtime"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tricot-proxy/tricot/cmd/admin"
)

// metrics is what the metrics address serves.
func (v *view) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		v.equipment.counts, newCollector(v))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("Tricot's metrics are at /metrics\n"))
	})
	return mux
}

// A collector shows all but the requests: it reads what the parts know when it is asked. The values of its labels are names
// of rules, services and backends of the catalog, and names that got a certificate on demand; never what a client sent.
type collector struct {
	view *view
	all  map[string]*prometheus.Desc
}

func newCollector(v *view) *collector {
	c := &collector{view: v, all: map[string]*prometheus.Desc{}}
	for _, d := range []struct {
		name, help string
		labels     []string
	}{
		{"tricot_build_info", "Always 1; the labels say what runs.", []string{"version", "go_version"}},
		{"tricot_provider_snapshots_total", "Snapshots of services that were put in force.", nil},
		{"tricot_provider_snapshot_age_seconds", "For how long a provider has not been able to read its source; 0 while it can.",
			[]string{"provider"}},
		{"tricot_table_changes_total", "Tables that came into force: changes of services, health or place.", nil},
		{"tricot_access_log_reopens_total", "How often the access log was opened anew.", nil},
		{"tricot_hosts", "Hosts that rules name, wildcards included.", nil},
		{"tricot_rules", "Rules in force.", nil},
		{"tricot_malformed_tags", "Tags in the snapshot in force that are malformed.", nil},
		{"tricot_backend_healthy", "Whether the checks of the instance pass.", []string{"service", "backend"}},
		{"tricot_backend_ejected", "Whether the backend is left out because it kept failing.", []string{"service", "backend"}},
		{"tricot_backend_ejections_total", "How often the backend was left out because it kept failing.", []string{"service", "backend"}},
		{"tricot_backend_connections_open", "Open connections to backends.", nil},
		{"tricot_backend_connections_idle", "Those over HTTP/1.1 that no request has.", nil},
		{"tricot_backend_connections_opened_total", "Connections to backends that were opened.", nil},
		{"tricot_backend_connections_reused_total", "Requests over HTTP/1.1 that found an open connection.", nil},
		{"tricot_tls_handshakes_total", "TLS handshakes; the version of one that failed is empty.",
			[]string{"result", "version", "resumed"}},
		{"tricot_certificates", "Wanted names by the state of their certificate.", []string{"state"}},
		{"tricot_certificate_not_after_timestamp_seconds", "When the certificate that serves a name ends.", []string{"name"}},
		{"tricot_certificate_lifetime_seconds", "How long the certificate that serves a name is valid in all.", []string{"name"}},
		{"tricot_certificate_renewal_timestamp_seconds", "When the certificate that serves a name is due.", []string{"name"}},
		{"tricot_certificate_orders_total", "Orders of this instance, by result.", []string{"result"}},
	} {
		c.all[d.name] = prometheus.NewDesc(d.name, d.help, d.labels, nil)
	}
	return c
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.all {
		to <- d
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(name string, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(c.all[name], prometheus.GaugeValue, value, labels...)
	}
	counter := func(name string, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(c.all[name], prometheus.CounterValue, float64(value), labels...)
	}
	v := c.view
	gauge("tricot_build_info", 1, release(), runtime.Version())
	counter("tricot_provider_snapshots_total", v.snapshots.Load())
	counter("tricot_table_changes_total", v.tables.Load())
	counter("tricot_access_log_reopens_total", v.reopens.Load())
	for _, p := range v.providers {
		age := 0.0
		if since := p.Trouble().Since; !since.IsZero() {
			age = v.now().Sub(since).Seconds()
		}
		gauge("tricot_provider_snapshot_age_seconds", age, p.Name())
	}
	table := v.router.Table()
	gauge("tricot_hosts", float64(len(table.Hosts())))
	gauge("tricot_rules", float64(len(table.Rules())))
	gauge("tricot_malformed_tags", float64(len(v.router.Problems())))
	c.backends(gauge, counter)
	counts := v.equipment.connections.Counts()
	gauge("tricot_backend_connections_open", float64(counts.Open))
	gauge("tricot_backend_connections_idle", float64(counts.Idle))
	counter("tricot_backend_connections_opened_total", counts.Opened)
	counter("tricot_backend_connections_reused_total", counts.Reused)
	v.handshakes.each(func(n uint64, labels ...string) { counter("tricot_tls_handshakes_total", n, labels...) })
	c.certificates(gauge)
	issued, failed := v.keeper.Orders()
	counter("tricot_certificate_orders_total", issued, "issued")
	counter("tricot_certificate_orders_total", failed, "failed")
}

// backends tells of each backend of a service once, whatever the number of its rules.
func (c *collector) backends(gauge func(string, float64, ...string), counter func(string, uint64, ...string)) {
	type key struct{ service, backend string }
	told := map[key]bool{}
	for _, rule := range c.view.router.Table().Rules() {
		b := rule.Backend
		is := key{b.Service, b.String()}
		if told[is] {
			continue
		}
		told[is] = true
		gauge("tricot_backend_healthy", number(rule.Healthy), is.service, is.backend)
		gauge("tricot_backend_ejected", number(b.Health.Condition().Ejected()), is.service, is.backend)
		counter("tricot_backend_ejections_total", ejections(b), is.service, is.backend)
	}
}

func (c *collector) certificates(gauge func(string, float64, ...string)) {
	states := map[string]int{admin.Valid: 0, admin.Due: 0, admin.Expired: 0, admin.Missing: 0, admin.SelfSigned: 0}
	for _, certificate := range c.view.Certificates() {
		states[certificate.State]++
		if certificate.To.IsZero() {
			continue
		}
		gauge("tricot_certificate_not_after_timestamp_seconds", float64(certificate.To.Unix()), certificate.Name)
		if !certificate.From.IsZero() {
			gauge("tricot_certificate_lifetime_seconds", certificate.To.Sub(certificate.From).Seconds(), certificate.Name)
			gauge("tricot_certificate_renewal_timestamp_seconds", float64(certificate.Renewal.Unix()), certificate.Name)
		}
	}
	for state, n := range states {
		gauge("tricot_certificates", float64(n), state)
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// handshakes counts TLS handshakes by how they went.
type handshakes struct {
	failed atomic.Uint64
	tls12  [2]atomic.Uint64 // new, resumed
	tls13  [2]atomic.Uint64
}

// done counts one. The state is that at its end.
func (h *handshakes) done(state tls.ConnectionState, err error) {
	if err != nil {
		h.failed.Add(1)
		return
	}
	by := &h.tls13
	if state.Version == tls.VersionTLS12 { // the lowest that is spoken
		by = &h.tls12
	}
	resumed := 0
	if state.DidResume {
		resumed = 1
	}
	by[resumed].Add(1)
}

func (h *handshakes) each(tell func(n uint64, labels ...string)) {
	tell(h.failed.Load(), "failed", "", "no")
	for version, by := range map[string]*[2]atomic.Uint64{"1.2": &h.tls12, "1.3": &h.tls13} {
		tell(by[0].Load(), "ok", version, "no")
		tell(by[1].Load(), "ok", version, "yes")
	}
}

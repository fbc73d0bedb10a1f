package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// descriptions are the metrics' names and labels.
type descriptions struct {
	requests, inFlight, duration, backendDuration, ownDuration, received, sent, retries, upgraded, upgradedOpen *prometheus.Desc
}

func describe() descriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return descriptions{
		requests: desc("tricot_requests_total",
			"Requests that have ended, by the host of the rule that they matched, class of method, and status code of the response.",
			"host", "method", "code"),
		inFlight: desc("tricot_requests_in_flight",
			"Requests that have not ended, upgraded connections included."),
		duration: desc("tricot_request_duration_seconds",
			"Time from the head of a request to the end of the response.", "host"),
		backendDuration: desc("tricot_request_backend_duration_seconds",
			"Time from handing a request to the last backend that was asked to the head of its answer, or to the end where it gave none.",
			"host"),
		ownDuration: desc("tricot_request_own_duration_seconds",
			"Time from the head of a request to handing it to the first backend, or to the end of the response where none was asked."),
		received: desc("tricot_request_content_bytes_total",
			"Content of requests, in bytes.", "host"),
		sent: desc("tricot_response_content_bytes_total",
			"Content of responses as it went to clients, in bytes.", "host"),
		retries: desc("tricot_request_retries_total",
			"Further backends that were asked for a request, after one that failed.", "host"),
		upgraded: desc("tricot_upgraded_connections_total",
			"Connections that became tunnels, and have ended.", "host"),
		upgradedOpen: desc("tricot_upgraded_connections_open",
			"Connections that became tunnels, and have not ended."),
	}
}

var _ prometheus.Collector = (*Requests)(nil)

// Describe is for a registry.
func (c *Requests) Describe(to chan<- *prometheus.Desc) {
	d := &c.descriptions
	for _, desc := range []*prometheus.Desc{d.requests, d.inFlight, d.duration, d.backendDuration, d.ownDuration, d.received,
		d.sent, d.retries, d.upgraded, d.upgradedOpen} {
		to <- desc
	}
}

// Collect is for a registry.
func (c *Requests) Collect(to chan<- prometheus.Metric) {
	c.hosts.retain(nil, c.now())
	d := &c.descriptions
	to <- gauge(d.inFlight, c.inFlight.Load())
	to <- gauge(d.upgradedOpen, c.upgraded.Load())
	to <- c.own.metric(d.ownDuration)
	for _, host := range c.hosts.list() {
		for series, counter := range host.requests.all() {
			to <- count(d.requests, counter.Load(), host.name, series.method.String(), series.code.String())
		}
		to <- host.total.metric(d.duration, host.name)
		to <- host.backend.metric(d.backendDuration, host.name)
		to <- count(d.received, host.received.Load(), host.name)
		to <- count(d.sent, host.sent.Load(), host.name)
		to <- count(d.retries, host.retries.Load(), host.name)
		to <- count(d.upgraded, host.upgraded.Load(), host.name)
	}
}

func gauge(desc *prometheus.Desc, n int64) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
}

func count(desc *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
}

func (h *histogram) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	var cumulative [len(bounds)]uint64
	total, sum := h.read(&cumulative)
	buckets := make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		buckets[bound.Seconds()] = cumulative[i]
	}
	return prometheus.MustNewConstHistogram(desc, total, sum, buckets, labels...)
}

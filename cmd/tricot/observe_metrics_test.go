package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMetrics_CountAKnownTrafficMix(t *testing.T) {
	t.Parallel()
	web, held := statusBackend(t, "web"), hold()
	p := start(t, observed(nil),
		web.service(t, "web", "tricot app.test", "tricot *.wild.test", "tricot app.test/x high"),
		refusing(t).service(t, "down", "tricot retry.test"),
		web.service(t, "up", "tricot retry.test"),
		serve(t, held.serve).service(t, "held", "tricot held.test"))
	before := p.metrics(t)
	for range 3 {
		get(t, p.client(t, http2), "https://app.test/")
	}
	send(t, p.client(t, http1), newRequest(t, http.MethodPost, "https://app.test/", content(1000)))
	send(t, p.client(t, http1), newRequest(t, "BREW", "https://app.test/", nil))
	for _, status := range []int{404, 404, 503} {
		get(t, p.client(t, http1), fmt.Sprintf("https://app.test/status/%d", status))
	}
	retrying := p.client(t, http1)
	for range 4 { // turns go from one to the other
		assert.Equal(t, http.StatusOK, get(t, retrying, "https://retry.test/").StatusCode)
	}
	plain := p.plainClient(t)
	get(t, plain, "http://app.test/")
	get(t, p.unverified(t), "https://nobody.test/")
	get(t, p.unverified(t), "https://a.b.wild.test/")

	for _, want := range []struct {
		value  float64
		name   string
		labels []string
	}{
		{3, "tricot_requests_total", []string{"host", "app.test", "method", "GET", "code", "200"}},
		{1, "tricot_requests_total", []string{"host", "app.test", "method", "POST", "code", "200"}},
		{1, "tricot_requests_total", []string{"host", "app.test", "method", "other", "code", "200"}},
		{2, "tricot_requests_total", []string{"host", "app.test", "method", "GET", "code", "404"}},
		{1, "tricot_requests_total", []string{"host", "app.test", "method", "GET", "code", "503"}},
		{4, "tricot_requests_total", []string{"host", "retry.test", "method", "GET", "code", "200"}},
		{1, "tricot_requests_total", []string{"host", "*.wild.test", "method", "GET", "code", "200"}},
		{1, "tricot_requests_total", []string{"host", "(none)", "method", "GET", "code", "308"}},
		{1, "tricot_requests_total", []string{"host", "(none)", "method", "GET", "code", "404"}},
		{8, "tricot_request_duration_seconds", []string{"host", "app.test"}},
		{8, "tricot_request_backend_duration_seconds", []string{"host", "app.test"}},
		{2, "tricot_request_duration_seconds", []string{"host", "(none)"}},
		{1000, "tricot_request_content_bytes_total", []string{"host", "app.test"}},
		{8 * 3, "tricot_response_content_bytes_total", []string{"host", "app.test"}},
		{0, "tricot_request_retries_total", []string{"host", "app.test"}},
		{2, "tricot_request_retries_total", []string{"host", "retry.test"}},
		{0, "tricot_requests_in_flight", nil},
		{4, "tricot_hosts", nil},
		{5, "tricot_rules", nil},
		{1, "tricot_malformed_tags", nil},
		{3, "tricot_certificates", []string{"state", "valid"}},
		{0, "tricot_certificates", []string{"state", "expired"}},
		{3, "tricot_certificate_orders_total", []string{"result", "issued"}},
		{0, "tricot_provider_snapshot_age_seconds", []string{"provider", "file"}},
		{1, "tricot_backend_healthy", []string{"service", "web", "backend", "http://" + web.address}},
		{0, "tricot_backend_ejected", []string{"service", "web", "backend", "http://" + web.address}},
		{0, "tricot_backend_ejections_total", []string{"service", "web", "backend", "http://" + web.address}},
	} {
		p.awaitMetric(t, want.value, want.name, want.labels...)
	}
	after := p.metrics(t)
	for _, grows := range []string{"tricot_backend_connections_opened_total", "tricot_request_own_duration_seconds"} {
		was, _ := before.value(grows)
		is, _ := after.value(grows)
		assert.Greater(t, is, was, grows)
	}
	for _, there := range []string{"tricot_build_info", "go_goroutines", "process_resident_memory_bytes"} {
		assert.Contains(t, after, there)
	}
	ends, _ := after.value("tricot_certificate_not_after_timestamp_seconds", "name", "app.test")
	shown, err := p.shown("app.test")
	require.NoError(t, err)
	assert.EqualValues(t, shown.NotAfter.Unix(), ends)

	answer := open(t, p.client(t, http1), newRequest(t, http.MethodGet, "https://held.test/", nil))
	p.awaitMetric(t, 1, "tricot_requests_in_flight")
	close(held.release)
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	p.awaitMetric(t, 0, "tricot_requests_in_flight")
}

// unverified is a client that takes any certificate.
func (p *proxy) unverified(t *testing.T) *http.Client {
	t.Helper()
	return newClient(t, &http.Transport{DialContext: dialing(p.httpsAddress), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}})
}

func TestMetrics_CountHandshakesByVersionAndResult(t *testing.T) {
	t.Parallel()
	p := start(t, observed(nil), naming(t, "web").service(t, "web", "tricot app.test"))
	handshakes := func(result, version, resumed string) float64 {
		n, found := p.metrics(t).value("tricot_tls_handshakes_total", "result", result, "version", version, "resumed", resumed)
		require.True(t, found)
		return n
	}
	failed, whole := handshakes("failed", "", "no"), handshakes("ok", "1.3", "no")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		v := &visitor{version: version}
		assert.False(t, v.resumes(p, http1, "app.test"))
		for range 3 {
			assert.True(t, v.resumes(p, http1, "app.test"))
		}
	}
	const bad = 5
	for range bad {
		conn, err := net.Dial("tcp", p.httpsAddress)
		require.NoError(t, err)
		_, err = io.WriteString(conn, "this is no TLS at all\r\n\r\n")
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, conn)
		require.NoError(t, conn.Close())
	}
	p.awaitMetric(t, 1, "tricot_tls_handshakes_total", "result", "ok", "version", "1.2", "resumed", "no")
	p.awaitMetric(t, 3, "tricot_tls_handshakes_total", "result", "ok", "version", "1.2", "resumed", "yes")
	p.awaitMetric(t, 3, "tricot_tls_handshakes_total", "result", "ok", "version", "1.3", "resumed", "yes")
	// Those that waited for the port and the certificate may be counted as late as now.
	p.eventually(func() bool { return handshakes("ok", "1.3", "no") >= whole+1 }, "the whole handshake is not counted")
	p.eventually(func() bool { return handshakes("failed", "", "no") >= failed+bad }, "the failed handshakes are not counted")
}

func TestMetrics_AreGoodTextAndOpenMetrics(t *testing.T) {
	t.Parallel()
	p := start(t, observed(nil), naming(t, "web").service(t, "web", "tricot app.test"))
	get(t, p.client(t, http1), "https://app.test/")

	text := p.look(t, "metrics", "/metrics")
	assert.Contains(t, text.Header.Get("Content-Type"), "text/plain")
	problems, err := promlint.New(strings.NewReader(text.body)).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)

	open := p.look(t, "metrics", "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	assert.Contains(t, open.Header.Get("Content-Type"), "application/openmetrics-text")
	assert.True(t, strings.HasSuffix(open.body, "# EOF\n"))
	assert.Contains(t, open.body, "tricot_requests_total{")
	assert.Equal(t, http.StatusNotFound, p.look(t, "metrics", "/api/status").StatusCode)
}

func TestMetrics_TenThousandHostsAddNoSeries(t *testing.T) {
	t.Parallel()
	p := start(t, observed(config{"middleware.access_log.enabled": false}),
		naming(t, "web").service(t, "web", "tricot app.test", "tricot *.wild.test"))
	const clients, each, routed = 4, 2500, 10 // every tenth has a route
	// On connections by hand, for the sake of what else runs on the machine.
	ask := func(conn *tls.Conn, answers *bufio.Reader, host string) error {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
	first := p.dialTLS(t, "app.test")
	answers := bufio.NewReader(first)
	require.NoError(t, errorsOf(ask(first, answers, "a.wild.test"), ask(first, answers, "nobody.test")))
	p.awaitMetric(t, 1, "tricot_requests_total", "host", "*.wild.test", "method", "GET", "code", "200")
	p.awaitMetric(t, 1, "tricot_requests_total", "host", "(none)", "method", "GET", "code", "404")
	p.awaitMetric(t, 1, "tricot_certificates", "state", "valid")
	before := p.series(t)

	var asking sync.WaitGroup
	failed := make([]error, clients)
	for i := range clients {
		conn, random := p.dialTLS(t, "app.test"), rand.New(rand.NewPCG(uint64(i), 7))
		asking.Go(func() {
			answers := bufio.NewReader(conn)
			for n := 0; n < each && failed[i] == nil; n++ {
				below := "nobody.test"
				if n%routed == 0 {
					below = "wild.test"
				}
				failed[i] = ask(conn, answers, fmt.Sprintf("h%x.%s", random.Uint64(), below))
			}
		})
	}
	asking.Wait()
	require.NoError(t, errorsOf(failed...))
	const found = clients * each / routed
	p.awaitMetric(t, found+1, "tricot_requests_total", "host", "*.wild.test", "method", "GET", "code", "200")
	p.awaitMetric(t, clients*each-found+1, "tricot_requests_total", "host", "(none)", "method", "GET", "code", "404")
	assert.Equal(t, before, p.series(t))
}

func TestObservers_AreNeverOnThePublicPorts(t *testing.T) {
	t.Parallel()
	p := start(t, observed(nil), naming(t, "web").service(t, "web", "tricot app.test/app", "tricot all.test"))
	client, plain := p.client(t, http2), p.plainClient(t)
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/api/status", "/api/settings", "/api/explain?url=x",
		"/debug/pprof/", "/"} {
		assert.Equal(t, http.StatusNotFound, get(t, client, "https://app.test"+path).StatusCode, path)
		assert.Equal(t, "web", get(t, client, "https://all.test"+path).body, path)
		assert.Equal(t, http.StatusPermanentRedirect, get(t, plain, "http://app.test"+path).StatusCode, path)
	}
	assert.Equal(t, http.StatusNotFound, p.look(t, "admin", "/metrics").StatusCode)
}

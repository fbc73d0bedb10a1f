package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// observed is what the YAML file of a Tricot has that is looked at from outside while it runs.
func observed(further config) config {
	all := config{"metrics.bind_addr": "127.0.0.1:0"}
	maps.Copy(all, further)
	return all
}

// listensAt is where the log says that an entrypoint listens.
func (p *proxy) listensAt(entrypoint string) string {
	p.t.Helper()
	line := p.awaitLog("listening", "entrypoint="+entrypoint, "address=")
	return addressOfLine.FindStringSubmatch(line)[1]
}

var addressOfLine = regexp.MustCompile(` address=(\S+)`)

// observer is a client for the admin and metrics addresses.
func observer(t *testing.T) *http.Client {
	t.Helper()
	return newClient(t, &http.Transport{})
}

// look asks an entrypoint, admin or metrics, for a path.
func (p *proxy) look(t *testing.T, entrypoint, path string, fields ...string) reply {
	t.Helper()
	return get(t, observer(t), "http://"+p.listensAt(entrypoint)+path, fields...)
}

// api asks the admin address for JSON.
func (p *proxy) api(t *testing.T, path string, into any) {
	t.Helper()
	answer := p.look(t, "admin", path)
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	require.Equal(t, "application/json", answer.Header.Get("Content-Type"))
	require.NoError(t, json.Unmarshal([]byte(answer.body), into), answer.body)
}

// list gives the objects of a list below /api/, all that there are in a test.
func (p *proxy) list(t *testing.T, name string) []map[string]any {
	t.Helper()
	var answer map[string]json.RawMessage
	p.api(t, "/api/"+name+"?limit=10000", &answer)
	var all []map[string]any
	require.NoError(t, json.Unmarshal(answer[name], &all))
	return all
}

// An explained request is what the tests read of a decision.
type explained struct {
	Outcome, Reason, Host, Path, Matched, Location, Compression string
	Backends                                                    []explainedBackend
	Headers                                                     []string
	Rules                                                       []struct {
		Host, Path, Outcome, Reason string
		Priority                    int
		Backend                     explainedBackend
	}
	Certificate *struct{ Name, State, Issuer, Problem string }
}

type explainedBackend struct {
	Service, ID, URL, State string
	Headers                 []string
}

// explains asks the running Tricot about a URL.
func (p *proxy) explains(t *testing.T, of string) (d explained) {
	t.Helper()
	p.api(t, "/api/explain?"+url.Values{"url": {of}}.Encode(), &d)
	return d
}

// families are metrics by name.
type families map[string]*dto.MetricFamily

// metrics reads all metrics as Prometheus would.
func (p *proxy) metrics(t *testing.T) families {
	t.Helper()
	answer := p.look(t, "metrics", "/metrics")
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	found, err := parser.TextToMetricFamilies(strings.NewReader(answer.body))
	require.NoError(t, err)
	return found
}

// value gives a counter or gauge, or the count of a histogram; labels are pairs of name and value, all that there are.
// Where there is no such series it is 0 and false.
func (f families) value(name string, labels ...string) (float64, bool) {
	for _, metric := range f[name].GetMetric() {
		var has []string
		for _, label := range metric.GetLabel() {
			has = append(has, label.GetName(), label.GetValue())
		}
		if !slices.Equal(has, sortedPairs(labels)) {
			continue
		}
		switch {
		case metric.Counter != nil:
			return metric.Counter.GetValue(), true
		case metric.Gauge != nil:
			return metric.Gauge.GetValue(), true
		case metric.Histogram != nil:
			return float64(metric.Histogram.GetSampleCount()), true
		}
	}
	return 0, false
}

// sortedPairs sorts labels by their names, as they are exposed.
func sortedPairs(labels []string) []string {
	byName := map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		byName[labels[i]] = labels[i+1]
	}
	var sorted []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		sorted = append(sorted, name, byName[name])
	}
	return sorted
}

// awaitMetric waits until a series has a value.
func (p *proxy) awaitMetric(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	var got float64
	var found bool
	deadline := fmt.Sprintf("%s%v is not %v", name, labels, want)
	eventually(t, 2*patience, func() bool {
		got, found = p.metrics(t).value(name, labels...)
		return found && got == want
	}, deadline)
}

// series gives each series of Tricot's own metrics, without its value.
func (p *proxy) series(t *testing.T) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(p.look(t, "metrics", "/metrics").body) {
		if strings.HasPrefix(line, "tricot_") {
			all = append(all, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	slices.Sort(all)
	return all
}

// statusBackend answers with the status that the path ends in, 200 where it ends in none, and with its name.
func statusBackend(t *testing.T, name string) backend {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/status/%d", &status); err == nil {
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, name)
	})
}

// content is a body of so many bytes.
func content(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }

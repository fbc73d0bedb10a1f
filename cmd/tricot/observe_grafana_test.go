package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// grafana is where the dashboard and the alert rules are.
const grafana = "../../examples/grafana"

type dashboard struct {
	Title, UID string
	Panels     []panel
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
	Annotations struct{ List []struct{ Expr string } }
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ Expr string }
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(grafana, "dashboard.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d))
	return d
}

type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func readAlerts(t *testing.T) (all []alert) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(grafana, "alerts.yaml"))
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&file))
	for _, group := range file.Groups {
		assert.NotEmpty(t, group.Name)
		all = append(all, group.Rules...)
	}
	return all
}

func TestGrafana_ThePanelsHaveIDsOfTheirOwnAndDoNotOverlap(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	assert.NotEmpty(t, d.Title)
	assert.NotEmpty(t, d.UID)
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range d.Panels {
		assert.Empty(t, ids[p.ID], "%s has the id of another one", p.Title)
		ids[p.ID] = p.Title
		assert.Equal(t, p.Type == "row", len(p.Targets) == 0, "%s: %d queries", p.Title, len(p.Targets))
		assert.True(t, p.GridPos.X >= 0 && p.GridPos.W > 0 && p.GridPos.X+p.GridPos.W <= 24, "%s is beyond the 24 columns", p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				require.Empty(t, taken[at], "%s overlaps", p.Title)
				taken[at] = p.Title
			}
		}
	}
	require.NotEmpty(t, taken)
}

func TestGrafana_TheAlertsWakeForCertificatesSnapshotsAndErrors(t *testing.T) {
	t.Parallel()
	var expressions strings.Builder
	names := map[string]bool{}
	for _, a := range readAlerts(t) {
		assert.False(t, names[a.Alert], "%s is there twice", a.Alert)
		names[a.Alert] = true
		assert.NotEmpty(t, a.Expr, a.Alert)
		assert.Contains(t, []string{"critical", "warning", "info"}, a.Labels["severity"], a.Alert)
		assert.NotEmpty(t, a.Annotations["summary"], a.Alert)
		assert.NotEmpty(t, a.Annotations["description"], a.Alert)
		assert.Regexp(t, `^\d+[mh]$`, a.For, a.Alert)
		expressions.WriteString(a.Expr)
	}
	for _, of := range []string{
		"tricot_certificate_not_after_timestamp_seconds", "tricot_provider_snapshot_age_seconds", `tricot_requests_total{code=~"5.."}`,
	} {
		assert.Contains(t, expressions.String(), of)
	}
}

func TestGrafana_NamesMetricsAndLabelsThatThereAre(t *testing.T) {
	t.Parallel()
	p := start(t, observed(nil), naming(t, "web").service(t, "web", "tricot app.test"))
	get(t, p.client(t, http1), "https://app.test/")
	p.awaitMetric(t, 1, "tricot_certificates", "state", "valid")
	p.awaitMetric(t, 1, "tricot_requests_total", "host", "app.test", "method", "GET", "code", "200")
	known := p.metrics(t)

	var expressions []string
	d := readDashboard(t)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	for _, annotation := range d.Annotations.List {
		expressions = append(expressions, annotation.Expr)
	}
	for _, variable := range d.Templating.List {
		if query, ok := variable.Query.(map[string]any); ok {
			expressions = append(expressions, query["query"].(string))
		}
	}
	for _, a := range readAlerts(t) {
		expressions = append(expressions, a.Expr)
	}
	named := map[string]bool{}
	for _, expression := range expressions {
		require.NotEmpty(t, expression)
		var families []*dto.MetricFamily
		for _, found := range metricName.FindAllStringSubmatch(expression, -1) {
			name, family := found[1], found[1]
			if base, is := strings.CutSuffix(name, "_bucket"); is {
				family = base
				require.NotNil(t, known[family].GetMetric()[0].GetHistogram(), "%s in %s is no histogram", name, expression)
			}
			if !assert.Contains(t, known, family, expression) {
				continue
			}
			named[family] = true
			families = append(families, known[family])
			for _, label := range labelName.FindAllStringSubmatch(found[2], -1) {
				assert.True(t, hasLabel(known[family], label[1]), "%s has no label %s: %s", name, label[1], expression)
			}
		}
		for _, by := range groupedBy.FindAllStringSubmatch(expression, -1) {
			for label := range strings.SplitSeq(by[1], ",") {
				label = strings.TrimSpace(label)
				has := func(family *dto.MetricFamily) bool { return label == "le" || hasLabel(family, label) }
				assert.True(t, slices.ContainsFunc(families, has), "nothing has the label %s: %s", label, expression)
			}
		}
	}
	assert.Greater(t, len(named), 20)
}

var (
	metricName = regexp.MustCompile(`\b((?:tricot|process|go)_\w+)(?:\{([^}]*)\})?`)
	groupedBy  = regexp.MustCompile(`\bby \(([^)]*)\)`)
	labelName  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

func hasLabel(family *dto.MetricFamily, name string) bool {
	if slices.Contains([]string{"instance", "job"}, name) { // Prometheus sets these
		return true
	}
	for _, metric := range family.GetMetric() {
		for _, label := range metric.GetLabel() {
			if label.GetName() == name {
				return true
			}
		}
	}
	return false
}

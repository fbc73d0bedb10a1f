package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/cmd/admin"
)

// shown is a Source with all that the page shows.
type shown struct {
	tricot
	status       admin.Status
	certificates []admin.Certificate
	problems     []admin.Problem
	busy         bool // traffic grows with each look at it
	looks        uint64
}

func (s *shown) Status() admin.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *shown) Certificates() []admin.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.certificates
}

func (s *shown) Problems() []admin.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problems
}

// Traffic has a fifth of the requests fail, and one in ten take longer than the histogram can tell.
func (s *shown) Traffic() []admin.Traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		s.looks++
	}
	return []admin.Traffic{{Host: "a.example", Requests: 50 * s.looks, Errors: 10 * s.looks, Latency: []uint64{45 * s.looks, 5 * s.looks},
		LatencyBounds: []float64{0.01}}}
}

func (s *shown) Explain(url string) (any, error) {
	if url == "nonsense" {
		return nil, errors.New(`"nonsense" is not a URL`)
	}
	rule := func(path, outcome, reason string) map[string]any {
		return map[string]any{"host": "a.example", "path": path, "priority": 100, "outcome": outcome, "reason": reason,
			"backend": map[string]string{"service": "web", "url": "http://10.0.0.1:80"}}
	}
	return map[string]any{"outcome": "proxied", "reason": "asked for " + url, "matched": "a.example/ at priority 100",
		"rules":    []any{rule("/api", "unmatched", "the path does not start with it"), rule("/", "chosen", "the longest prefix")},
		"backends": []any{map[string]string{"service": "web", "url": "http://10.0.0.1:80"}},
		"headers":  []string{"X-Served-By: web"}, "compression": "not: it is off",
		"certificate": map[string]string{"name": "a.example", "state": admin.Valid}}, nil
}

// typical has one of each thing that there is to see.
func typical() *shown {
	now := time.Now()
	day := 24 * time.Hour
	s := &shown{status: admin.Status{Version: "v1.2.3", Node: "node-1", Site: "paris", Started: now}}
	s.routes = []admin.Route{
		{Host: "a.example", Path: "/", Priority: 100, Backends: []admin.Backend{
			{Service: "web", ID: "web-1", Node: "node-1", Site: "paris", URL: "http://10.0.0.1:80", State: admin.Serving},
			{Service: "web", ID: "web-2", Node: "node-2", Site: "paris", URL: "http://10.0.0.2:80", State: admin.Standby},
			{Service: "web", ID: "web-3", Node: "node-3", Site: "oslo", URL: "http://10.0.0.3:80", State: admin.Unhealthy},
			{Service: "web", ID: "web-4", URL: "http://10.0.0.4:80", State: admin.Ejected, Ejected: now.Add(time.Minute)}}},
		{Host: "a.example", Path: "/api", Priority: 50, Backends: []admin.Backend{
			{Service: "api", ID: "api-1", URL: "https://10.0.0.5:443", State: admin.Serving}}},
		{Host: "b.example", Path: "/", Priority: 100},
	}
	s.certificates = []admin.Certificate{
		{Name: "a.example", State: admin.Valid, Issuer: "R11", From: now.Add(-30 * day), To: now.Add(70 * day), Renewal: now.Add(20 * day)},
		{Name: "b.example", State: admin.Missing, Problem: "too many certificates already issued", NextTry: now.Add(time.Hour)},
		{Name: "c.example", State: admin.Due, Issuer: "R11", From: now.Add(-60 * day), To: now.Add(40 * day), Renewal: now.Add(-10 * day)},
		{Name: "d.example", State: admin.Expired, Issuer: "R11", From: now.Add(-100 * day), To: now.Add(-day), Renewal: now.Add(-50 * day)},
		{Name: "e.internal", State: admin.SelfSigned, From: now.Add(-50 * day), To: now.Add(50 * day)},
	}
	s.problems = []admin.Problem{{Kind: "provider", Subject: "consul", Reason: "connection refused"}, {Kind: "tag", Subject: "web", Reason: "no host"}}
	return s
}

// many is typical with this many routes, fifty services in turn.
func many(count int) *shown {
	s := typical()
	s.routes = nil
	for i := range count {
		s.routes = append(s.routes, admin.Route{Host: fmt.Sprintf("h%04d.example", i), Path: "/", Priority: 100,
			Backends: []admin.Backend{{Service: fmt.Sprintf("s%02d", i%50), URL: "http://127.0.0.1:1", State: admin.Serving}}})
	}
	return s
}

// listen serves on a port, 0 for any, until the end of the test or of stop.
func listen(t *testing.T, port int, handler http.Handler) (origin string, number int, stop func()) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	server, ended := &http.Server{Handler: handler}, make(chan struct{})
	go func() {
		_ = server.Serve(listener)
		close(ended)
	}()
	stop = func() {
		_ = server.Close()
		<-ended
	}
	t.Cleanup(stop)
	return "http://" + listener.Addr().String(), listener.Addr().(*net.TCPAddr).Port, stop
}

func siteOf(source admin.Source) http.Handler {
	return admin.New(admin.Options{Source: source, Log: slog.New(slog.DiscardHandler)})
}

// see opens the page of a source.
func see(t *testing.T, browser context.Context, source admin.Source) *tab {
	origin, _, _ := listen(t, 0, siteOf(source))
	p := open(t, browser, origin)
	p.until(`document.querySelector("#certificates-body").rows.length > 0`)
	p.until(`document.querySelector("#routes-body").rows.length > 0`)
	p.until(`document.querySelector("#instance").textContent !== "Loading…"`)
	return p
}

// TestPage has one browser for all of its parts.
func TestPage(t *testing.T) {
	browser := startBrowser(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, context.Context)
	}{
		{"ShowsRoutesWithTheirBackends", showsRoutes},
		{"ShowsCertificatesWithTheirLifetime", showsCertificates},
		{"ShowsProblemsOnTop_AndNothingWhereThereAreNone", showsProblems},
		{"SearchesAndPagesTenThousandRoutesByKeyboard", pages},
		{"ExplainsAURL", explains},
		{"FollowsChangesWithoutAReload", follows},
		{"TakesTextForText", escapes},
		{"TellsThatTheConnectionIsLost_AndComesBackByItself", comesBack},
		{"FitsANarrowWindow", fits},
		{"CanBeReadInLightAndInDark", canBeRead},
		{"WorksWithTheKeyboardAlone", worksByKeyboard},
		{"TellsAssistiveTechnologyWhatIsThere", isAccessible},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, browser) })
	}
}

func showsRoutes(t *testing.T, browser context.Context) {
	p := see(t, browser, typical())
	rows := value[[]string](p, `[...document.querySelectorAll("#routes-body tr")].map((row) => row.innerText)`)
	require.Len(t, rows, 3)
	for _, want := range []string{"a.example/", "100", "serving web http://10.0.0.1:80 on node-1, paris", "standby web http://10.0.0.2:80",
		"unhealthy web http://10.0.0.3:80 on node-3, oslo", "ejected web http://10.0.0.4:80, until "} {
		assert.Contains(t, rows[0], want)
	}
	assert.Contains(t, rows[1], "a.example/api")
	assert.Contains(t, rows[1], "serving api https://10.0.0.5:443")
	assert.Contains(t, rows[2], "b.example/")
	assert.Contains(t, rows[2], "none")
	assert.Equal(t, "Routes 3", p.text("#routes-title"))
	for _, want := range []string{"v1.2.3", "node node-1", "site paris", "ready"} {
		assert.Contains(t, p.text("#instance"), want)
	}
	assert.Equal(t, "Tricot on node-1", value[string](p, `document.title`))
	p.until(`document.querySelector("#routes-body .rate").textContent === "0.0"`)
	assert.Equal(t, 2, value[int](p, `document.querySelectorAll("#routes-body .rate").length`), "the traffic of a host stands with its first route alone")
}

func showsCertificates(t *testing.T, browser context.Context) {
	p := see(t, browser, typical())
	rows := value[[][]string](p, `[...document.querySelectorAll("#certificates-body tr")].map((row) => [...row.cells].map((c) => c.innerText))`)
	require.Len(t, rows, 5)
	assert.Equal(t, "valid", rows[0][1])
	assert.Contains(t, rows[1][1], "too many certificates already issued")
	assert.Contains(t, rows[1][1], "next try ")
	assert.Equal(t, "–", rows[1][2])
	assert.Equal(t, "self-signed", rows[4][1])

	bars := value[[]string](p, `[...document.querySelectorAll("#certificates-body svg")].map((bar) => bar.getAttribute("aria-label"))`)
	assert.Equal(t, []string{"30 % of the lifetime gone, renewal at 50 %", "60 % of the lifetime gone, renewal at 50 %",
		"100 % of the lifetime gone, renewal at 51 %", "50 % of the lifetime gone"}, bars)
	// As a share of the bar's width: what is filled, and where the mark of the renewal is.
	drawn := value[[]float64](p, `(() => {
		const at = (selector) => document.querySelector("#certificates-body svg " + selector).getBoundingClientRect();
		const whole = at(".whole"), mark = at(".renewal");
		return [at(".gone").width / whole.width, (mark.left + mark.width / 2 - whole.left) / whole.width];
	})()`)
	assert.InDelta(t, 0.3, drawn[0], 0.02)
	assert.InDelta(t, 0.5, drawn[1], 0.02)
}

func showsProblems(t *testing.T, browser context.Context) {
	source := typical()
	p := see(t, browser, source)
	p.until(`!document.querySelector("#problems").hidden`)
	assert.Equal(t, "Problems 2", p.text("#problems-title"))
	assert.Equal(t, "provider consul: connection refused\ntag web: no host", p.text("#problems-list"))
	assert.Equal(t, "problems", value[string](p, `document.querySelector("main section").id`))
	assert.False(t, value[bool](p, `document.querySelector("#problems-all").checkVisibility()`))

	source.change(func() {
		source.problems = nil
		for i := range 250 {
			source.problems = append(source.problems, admin.Problem{Kind: "tag", Subject: fmt.Sprint(i), Reason: "no host"})
		}
	})
	p.until(`document.querySelector("#problems-count").textContent === "250"`)
	count := `document.querySelector("#problems-list").children.length`
	assert.Equal(t, 10, value[int](p, count), "the routes are not far below")
	p.tabTo("problems-all")
	p.press(kb.Enter)
	p.until(count + ` === 201`)
	assert.Contains(t, p.text("#problems-list"), "50 more")
	assert.Equal(t, "problems-all", p.focused())

	source.change(func() { source.problems = nil })
	p.until(`!document.querySelector("#problems").checkVisibility()`)
	assert.Equal(t, "routes", p.focused(), "the focus is not lost with the button")
	assert.Equal(t, "no problems", p.text("#said"))
}

func pages(t *testing.T, browser context.Context) {
	source := many(10_000)
	p := see(t, browser, source)
	rangeIs := func(text string) {
		t.Helper()
		p.until(fmt.Sprintf(`document.querySelector("#routes-range").textContent === %q`, text))
		assert.LessOrEqual(t, value[int](p, `document.querySelector("#routes-body").rows.length`), 100)
	}
	first := func() string { return value[string](p, `document.querySelector("#routes-body th").textContent`) }
	rangeIs("1 to 100 of 10,000")
	assert.Equal(t, 100, value[int](p, `document.querySelector("#routes-body").rows.length`))
	assert.Equal(t, "true", value[string](p, `document.querySelector("#routes-previous").ariaDisabled`))

	p.tabTo("routes-previous")
	p.press(kb.Enter) // or what the server refuses would be a trouble of the tab
	p.tabTo("routes-next")
	p.press(kb.Enter)
	rangeIs("101 to 200 of 10,000")
	p.press(" ")
	rangeIs("201 to 300 of 10,000")
	assert.Equal(t, "h0200.example/", first())
	p.until(`document.querySelector("#said").textContent === "routes: 201 to 300 of 10,000"`)
	assert.Equal(t, "routes-next", p.focused())
	p.tabTo("routes-previous")
	p.press(kb.Enter)
	rangeIs("101 to 200 of 10,000")

	p.tabTo("routes-search")
	p.press("S", "4", "9")
	rangeIs("1 to 100 of 200")
	assert.Equal(t, "h0049.example/", first())
	assert.Equal(t, "Routes 200 of 10,000", p.text("#routes-title"))
	p.press(kb.Enter) // which sends no form
	p.tabTo("routes-next")
	p.press(kb.Enter)
	rangeIs("101 to 200 of 200")
	assert.Equal(t, "routes-next", p.focused(), "it leads nowhere now, and keeps the focus all the same")
	assert.Equal(t, "true", value[string](p, `document.querySelector("#routes-next").ariaDisabled`))
	p.press(kb.Enter)
	source.change(func() { source.routes = source.routes[:150] })
	p.until(`document.querySelector("#routes-count").textContent === "3 of 150"`)
	assert.Equal(t, "h0049.example/", first(), "the page that was shown is no more")
	assert.Equal(t, "routes-search", p.focused(), "the focus is not lost with the buttons")
	p.press("x")
	p.until(`document.querySelector("#routes-body").innerText === "No routes."`)
}

func explains(t *testing.T, browser context.Context) {
	p := see(t, browser, typical())
	p.tabTo("explain-url")
	p.enter("a.example/x?y=1&z")
	p.press(kb.Enter)
	p.until(`document.querySelector("#explain-outcome").innerText === "proxied: asked for a.example/x?y=1&z"`)
	details := p.text("#explain-details")
	for _, want := range []string{"a.example/ at priority 100", "web at http://10.0.0.1:80", "X-Served-By: web", "not: it is off",
		"a.example valid", "the path does not start with it", "the longest prefix"} {
		assert.Contains(t, details, want)
	}
	assert.Equal(t, []string{"unmatched", "chosen"}, value[[]string](p, `[...document.querySelectorAll("#explain-details td .state")].map((s) => s.innerText)`))
	assert.Equal(t, "explain-url", p.focused())
	assert.Equal(t, "/", value[string](p, `location.pathname + location.search`))

	value[bool](p, `document.activeElement.select() || true`)
	p.enter("nonsense")
	p.press(kb.Enter)
	p.until(`document.querySelector("#explain-outcome").innerText === '"nonsense" is not a URL'`)
	assert.Empty(t, p.text("#explain-details"))
	p.forgive("the server responded with a status of 400") // which Chromium notes by itself
}

func follows(t *testing.T, browser context.Context) {
	source := typical()
	p := see(t, browser, source)
	p.tabTo("routes-search")
	value[bool](p, `(() => {
		window.before = true;
		window.kept = document.querySelector("#routes-body").rows[1];
		getSelection().selectAllChildren(window.kept.cells[0]);
		return true;
	})()`)
	source.change(func() {
		source.busy = true
		routes := append([]admin.Route{}, source.routes...)
		routes[0].Backends = []admin.Backend{{Service: "web", URL: "http://10.0.0.9:80", State: admin.Serving}}
		source.routes = append([]admin.Route{{Host: "0.example", Path: "/new", Priority: 1}}, routes...)
		source.certificates = source.certificates[1:]
		source.problems = source.problems[:1]
		source.status.Unready = "it is shutting down"
	})
	p.until(`document.querySelector("#routes-body").rows.length === 4`)
	p.until(`document.querySelector("#routes-body").rows[0].innerText.startsWith("0.example/new")`)
	assert.Contains(t, p.text("#routes-body tr:nth-child(2)"), "http://10.0.0.9:80")
	assert.NotContains(t, p.text("#routes-body"), "http://10.0.0.1:80")
	p.until(`document.querySelector("#certificates-body").rows.length === 4`)
	p.until(`document.querySelector("#problems-list").children.length === 1`)
	p.until(`document.querySelector("#instance").innerText.includes("not ready: it is shutting down")`)

	cell := func(class string) string {
		return `document.querySelector("#routes-body [data-host='a.example'] .` + class + `").innerText`
	}
	p.until(`parseFloat(` + cell("rate") + `) > 0`)
	p.until(cell("errors") + ` === "20.0 %"`)
	p.until(cell("p50") + ` === "≤ 10 ms"`)
	p.until(cell("p99") + ` === "off scale"`)

	assert.True(t, value[bool](p, `window.before`), "the page was not loaded again")
	assert.True(t, value[bool](p, `window.kept === document.querySelector("#routes-body").rows[2]`), "a row that stayed the same is the same")
	assert.Equal(t, "a.example/api", value[string](p, `getSelection().toString()`))
	assert.Equal(t, "routes-search", p.focused())
	assert.NotContains(t, value[[]string](p, `[...document.querySelectorAll("[role=status], [aria-live]")].map((e) => e.innerText)`), "20.0 %",
		"nobody wants the rates read to them each second")
}

func escapes(t *testing.T, browser context.Context) {
	const markup = `<img src="/none" onerror="window.broken=true"><script>window.broken=true</script>&amp;`
	source := typical()
	source.status.Version = markup
	source.routes = []admin.Route{{Host: markup, Path: "/" + markup, Backends: []admin.Backend{{Service: markup, Node: markup, URL: markup, State: "serving\" x"}}}}
	source.certificates = []admin.Certificate{{Name: markup, State: admin.Missing, Issuer: markup, Problem: markup}}
	source.problems = []admin.Problem{{Kind: markup, Subject: markup, Reason: markup}}
	p := see(t, browser, source)
	p.until(`!document.querySelector("#problems").hidden`)
	p.tabTo("explain-url")
	p.enter(markup)
	p.press(kb.Enter)
	p.until(`document.querySelector("#explain-outcome").innerText !== ""`)
	for _, place := range []string{"#instance", "#problems-list", "#explain-outcome", "#routes-body", "#certificates-body"} {
		assert.Contains(t, value[string](p, `document.querySelector("`+place+`").textContent`), markup, place)
	}
	assert.Equal(t, 1, value[int](p, `document.images.length`), "the icon alone")
	assert.Equal(t, 1, value[int](p, `document.scripts.length`))
	assert.True(t, value[bool](p, `window.broken === undefined`))
}

func comesBack(t *testing.T, browser context.Context) {
	origin, port, stop := listen(t, 0, siteOf(typical()))
	p := open(t, browser, origin)
	p.until(`document.querySelector("#routes-body").rows.length === 3`)
	p.until(`document.querySelector("#routes-body .rate").textContent === "0.0"`)
	stop()
	p.until(`document.querySelector("#connection").innerText === "no connection to Tricot: trying again"`)
	assert.Equal(t, "–", p.text("#routes-body .rate"), "nobody knows it now")
	value[bool](p, `scrollTo(0, document.body.scrollHeight) || true`)
	assert.True(t, value[bool](p, `(() => {
		const box = document.querySelector("#connection").getBoundingClientRect();
		return box.top >= 0 && box.bottom <= innerHeight;
	})()`), "who has scrolled down sees it too")

	// What answers first refuses, after which browsers do not try again by themselves.
	refused := make(chan struct{}, 1000)
	_, _, stop = listen(t, port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		if r.URL.Path == "/api/events" {
			refused <- struct{}{}
		}
	}))
	select {
	case <-refused:
	case <-time.After(patience):
		require.Fail(t, "the page does not try again")
	}
	stop()

	// Another process counts its revisions from the start again.
	source := typical()
	source.routes = []admin.Route{{Host: "back.example", Path: "/"}}
	listen(t, port, siteOf(source))
	p.until(`document.querySelector("#routes-body").innerText.includes("back.example/")`)
	p.until(`document.querySelector("#connection").innerText === "live"`)
	p.forgive("net::ERR_")
	p.forgive("status of 503")
}

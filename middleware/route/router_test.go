package route

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
)

// journal is a log that a test reads, line by line and without times. One goroutine at a time may use it.
type journal struct{ bytes.Buffer }

func (j *journal) log(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// read gives the lines since the last call.
func (j *journal) read() []string {
	defer j.Reset()
	return strings.Split(strings.TrimSuffix(j.String(), "\n"), "\n")
}

var nothing = []string{""}

func TestRouter_LogsTheRulesEachTimeTheyChangeAndNotOtherwise(t *testing.T) {
	var j journal
	router := NewRouter(Options{Log: j.log(slog.LevelInfo), Location: Location{Node: "n1"}})
	assert.Equal(t, nothing, j.read())

	a := at("n1", "s1", "a", "tricot a.com/api 7", "tricot-https *.b.com", "tricot-site-lb")
	router.Apply([]providers.Instance{a})
	rules := []string{
		`level=INFO msg="rules changed" rules=2 hosts=2`,
		`level=INFO msg=rule host=*.b.com path="" priority=100 service=a scheme=https address=10.0.0.1:80 node=n1 site=s1 balance=site healthy=true`,
		`level=INFO msg=rule host=a.com path=/api priority=7 service=a scheme=http address=10.0.0.1:80 node=n1 site=s1 balance=site healthy=true`,
	}
	assert.Equal(t, rules, j.read())

	router.Apply([]providers.Instance{a})
	assert.Equal(t, nothing, j.read(), "the same snapshot")
	router.Apply([]providers.Instance{instance("other"), a})
	assert.Equal(t, nothing, j.read(), "an instance without rules")
	router.Locate(Location{Node: "n1", Site: "s1"})
	assert.Equal(t, nothing, j.read(), "another site of our own")

	router.Apply([]providers.Instance{sick(a)})
	for i := range rules {
		rules[i] = strings.Replace(rules[i], "healthy=true", "healthy=false", 1)
	}
	assert.Equal(t, rules, j.read(), "another health")
	router.Apply(nil)
	assert.Equal(t, []string{`level=INFO msg="rules changed" rules=0 hosts=0`}, j.read())
}

func TestRouter_LogsAMalformedTagOnceForAsLongAsItStays(t *testing.T) {
	var j journal
	router := NewRouter(Options{Log: j.log(slog.LevelWarn)})
	bad := func(id string) providers.Instance { return at("n1", "", id, "tricot a.com", "tricot-lb", "tricot-lb") }

	router.Apply([]providers.Instance{bad("a")})
	lines := j.read()
	require.Len(t, lines, 1, "the same tag twice on one instance is one line")
	assert.Contains(t, lines[0], `level=WARN msg="malformed tag" service=a instance=a node=n1 tag=tricot-lb reason=`)

	router.Apply([]providers.Instance{bad("a")})
	router.Locate(Location{Site: "s1"})
	assert.Equal(t, nothing, j.read(), "while it stays")

	router.Apply([]providers.Instance{bad("a"), bad("b")})
	lines = j.read()
	require.Len(t, lines, 1, "only the new one")
	assert.Contains(t, lines[0], "instance=b")

	router.Apply([]providers.Instance{at("n1", "", "a", "tricot a.com")})
	assert.Equal(t, nothing, j.read(), "mended")
	router.Apply([]providers.Instance{bad("a")})
	assert.Len(t, j.read(), 1)
	assert.NotNil(t, router.Table().Find("a.com", "/"))
}

func TestRouter_LogsThatARuleHasAnEndpointForCertificatesOnDemandAndNotItsQuery(t *testing.T) {
	var j journal
	router := NewRouter(Options{Log: j.log(slog.LevelInfo)})
	router.Apply([]providers.Instance{instance("a", "tricot *.a.com", "tricot b.com")})
	j.read()
	router.Apply([]providers.Instance{instance("a", "tricot *.a.com", "tricot b.com", "tricot-on-demand-tls-ask http://ask.test/x?key=secret")})
	lines := j.read()
	require.Len(t, lines, 3, "it is a change")
	assert.Contains(t, lines[1], "host=*.a.com")
	assert.Contains(t, lines[1], " on_demand=true")
	assert.NotContains(t, lines[2], "on_demand")
	assert.NotContains(t, strings.Join(lines, ""), "secret")
}

func TestRouter_IsQuietAndEmptyWithoutOptions(t *testing.T) {
	router := NewRouter(Options{})
	require.NotNil(t, router.Table())
	assert.Nil(t, router.Table().Find("a.com", "/"))
	router.Apply([]providers.Instance{instance("a", "tricot a.com", "tricot")})
	assert.NotNil(t, router.Table().Find("a.com", "/"))
}

func TestRouter_ArrangesTheBackendsAnewWhenThisTricotMoves(t *testing.T) {
	var applied []*Table
	router := NewRouter(Options{Location: Location{Node: "n1"}, Applied: func(t *Table) { applied = append(applied, t) }})
	router.Apply([]providers.Instance{at("n2", "s1", "a", "tricot a.com"), at("n3", "s2", "b", "tricot a.com")})
	assert.Equal(t, "a+b", chain(router.Table(), "a.com", "/"))

	router.Locate(Location{Node: "n1", Site: "s2"})
	assert.Equal(t, "b>a", chain(router.Table(), "a.com", "/"))
	assert.Len(t, applied, 2)
	assert.Same(t, router.Table(), applied[1])

	router.Locate(Location{Node: "n1", Site: "s2"})
	assert.Len(t, applied, 2, "the same place is no change")
}

func TestRouter_TellsWhenATableIsInForceBeforeItLogs(t *testing.T) {
	var j journal
	var router *Router
	var hosts []string
	router = NewRouter(Options{Log: j.log(slog.LevelInfo), Applied: func(table *Table) {
		assert.Same(t, table, router.Table())
		assert.Empty(t, j.String())
		hosts = table.Hosts()
	}})
	router.Apply([]providers.Instance{instance("a", "tricot a.com"), sick(instance("b", "tricot b.com"))})
	assert.Equal(t, []string{"a.com", "b.com"}, hosts)
	assert.NotEmpty(t, j.String())
}

func TestRouter_SwapsWholeTablesUnderRequests(t *testing.T) {
	var last *Table
	router := NewRouter(Options{Applied: func(table *Table) { last = table }})
	// All backends of a generation have its number in their service's name: a mixture would show.
	generation := func(n int) []providers.Instance {
		var instances []providers.Instance
		for i := range 20 {
			in := instance(fmt.Sprint(i), "tricot a.com", "tricot *.com/x", "tricot * 1")
			in.Service = fmt.Sprint("generation", n)
			instances = append(instances, in)
		}
		return instances
	}
	router.Apply(generation(0))

	stop := make(chan struct{})
	var requests, swaps sync.WaitGroup
	for range 4 {
		requests.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				groups := 0
				for r := router.Table().Find("a.com", "/x"); r != nil; r = r.Next("a.com", "/x") {
					groups++
					r.Tiers[0].Turn.Add(1)
					service := r.Tiers[0].Backends[0].Service
					for _, b := range r.Tiers[0].Backends {
						if b.Service != service {
							t.Errorf("backends of %s and %s in one route", service, b.Service)
							return
						}
					}
				}
				if groups != 3 {
					t.Errorf("%d groups", groups)
					return
				}
			}
		})
	}
	for w := range 2 {
		swaps.Go(func() {
			for n := range 50 {
				router.Apply(generation(n))
				router.Locate(Location{Site: fmt.Sprint(w, n)})
			}
		})
	}
	swaps.Wait()
	close(stop)
	requests.Wait()
	assert.Same(t, router.Table(), last, "the last table told is the one in force")
}

func TestRouter_LocateBeforeTheFirstApplyMakesNoTable(t *testing.T) {
	applied := 0
	router := NewRouter(Options{Applied: func(*Table) { applied++ }})
	router.Locate(Location{Node: "n1", Site: "s1"})
	assert.Zero(t, applied, "nobody is told that there are no hosts when nobody knows yet")
	near, far := at("n1", "s1", "near", "tricot a.com"), at("n2", "s2", "far", "tricot a.com")
	router.Apply([]providers.Instance{far, near})
	assert.Equal(t, 1, applied)
	assert.Equal(t, "near", router.Table().Find("a.com", "/").Tiers[0].Backends[0].Service, "and it is known where this is")
}

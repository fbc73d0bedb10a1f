package route

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
)

func TestRouter_ARouteInUseKeepsNoTableThatWasReplacedAlive(t *testing.T) {
	router := NewRouter(Options{})
	instances := func(port int) []providers.Instance {
		return []providers.Instance{{ID: "a", Service: "a", Address: "10.0.0.1", Port: port, Tags: []string{"tricot a.com/x", "tricot a.com"}, Healthy: true}}
	}
	router.Apply(instances(1))
	route := router.Table().Find("a.com", "/x")
	replaced := weak.Make(router.Table())
	router.Apply(instances(2))
	require.Eventually(t, func() bool {
		runtime.GC()
		return replaced.Value() == nil
	}, 30*time.Second, time.Millisecond)

	next := route.Next("a.com", "/x")
	require.NotNil(t, next, "it goes on in the table in force")
	require.Equal(t, "10.0.0.1:2", next.Tiers[0].Backends[0].Address)
}

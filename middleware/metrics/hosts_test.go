package metrics

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMetrics_TenThousandHostsMakeNoSeries(t *testing.T) {
	const hosts = 10_000
	counts := New()
	server := serve(t, counts, proxying(nil))
	ask(t, server, "GET", "first.example.com", "/", nil)
	before := len(await(t, counts, 1))

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	var sending sync.WaitGroup
	sending.Go(func() {
		w := bufio.NewWriter(conn)
		for i := range hosts {
			_, _ = fmt.Fprintf(w, "GET /%d HTTP/1.1\r\nHost: random-%d.example.com\r\n\r\n", i, i)
		}
		assert.NoError(t, w.Flush())
	})
	reader := bufio.NewReader(conn)
	for range hosts {
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, response.Body)
	}
	sending.Wait()
	got := await(t, counts, hosts+1)
	assert.Len(t, got, before)
	assert.Equal(t, float64(hosts+1), got["tricot_requests_total 404 (none) GET"])
}

func TestMetrics_ForgetAHostThatHasNoRuleForAnHour(t *testing.T) {
	now := time.Unix(1000, 0)
	counts := New()
	counts.now = func() time.Time { return now }
	for _, host := range []string{"stays", "goes", "returns", NoRoute} {
		routed(counts, host)
	}
	all := []string{NoRoute, "goes", "returns", "stays"}
	counts.Retain(func(host string) bool { return host != "goes" && host != "returns" && host != NoRoute })
	now = now.Add(forgetAfter - 1)
	_ = values(t, counts)
	assert.Equal(t, all, listed(counts))
	counts.Retain(func(host string) bool { return host != "goes" && host != NoRoute })
	now = now.Add(1)
	got := values(t, counts)
	assert.Equal(t, []string{NoRoute, "returns", "stays"}, listed(counts), "no further table is needed")
	assert.NotContains(t, got, "tricot_requests_total 200 goes GET")
	assert.Contains(t, got, "tricot_requests_total 200 returns GET")

	routed(counts, "goes")
	assert.Equal(t, 1.0, values(t, counts)["tricot_requests_total 200 goes GET"], "from zero")
}

func TestMetrics_ManyHostsAreCountedAtTheSameTime(t *testing.T) {
	const hosts, clients, rounds = 200, 4, 5
	counts := New()
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for range rounds {
				for i := range hosts {
					routed(counts, fmt.Sprintf("host-%d", i))
				}
				counts.Retain(func(string) bool { return true })
				_ = values(t, counts)
			}
		})
	}
	group.Wait()
	n := 0
	for _, host := range counts.Hosts() {
		assert.Equal(t, uint64(clients*rounds), host.Requests)
		n++
	}
	assert.Equal(t, hosts, n)
	for i := range hosts * hosts { // as often as it takes: the last ones may have come after all were put there
		counts.hosts.of(fmt.Sprintf("host-%d", i%hosts))
	}
	assert.Equal(t, hosts, len(*counts.hosts.known.Load()), "no lock is needed for them any more")
}

func TestMetrics_AHostThatIsNoTextIsNoLabel(t *testing.T) {
	counts := New()
	routed(counts, "a\xff")
	routed(counts, "a\xfe")
	assert.Equal(t, 2.0, values(t, counts)["tricot_requests_total 200 (none) GET"])
}

func TestMetrics_HostsCanBeLeftInTheMiddle(t *testing.T) {
	counts := New()
	routed(counts, "a")
	routed(counts, "b")
	for range counts.Hosts() {
		break
	}
	assert.Equal(t, []string{"a", "b"}, listed(counts))
}

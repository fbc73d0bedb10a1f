package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// changes is how many are measured.
const changes = 200

// BenchmarkConsul_ChangeToFirstRequest tells how long it takes from just before the call of the agent's API that makes
// a change, until the first request is answered by the new table: 200 changes, of each kind in turn, with so many
// services in the catalog, 50 of them with a tag for Tricot. One request follows the other, on one connection of plain
// HTTP, a millisecond after the answer: without that, asking takes the processors that Consul and Tricot need.
//
//	go test -run '^$' -bench Consul_Change -v ./cmd/tricot
func BenchmarkConsul_ChangeToFirstRequest(b *testing.B) {
	for _, services := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			agent := consultest.Dev(b, consultest.Options{})
			fill(b, agent.Client(), services, 50)
			p := startBenchmarked(b, agent, nil)
			p.awaitRules(b, 50)
			kinds := changesOf(b, agent.Client().Agent())
			took, all := make([][]time.Duration, len(kinds)), []time.Duration{}
			again := time.NewTicker(time.Millisecond)
			defer again.Stop()
			for b.Loop() {
				for n := range changes {
					kind := n % len(kinds)
					begin := time.Now()
					require.NoError(b, kinds[kind].change(n))
					for !kinds[kind].seen(n, p.ask(b, "changing.test")) {
						require.Less(b, time.Since(begin), patience, kinds[kind].name)
						<-again.C
					}
					took[kind] = append(took[kind], time.Since(begin))
				}
			}
			for i, kind := range kinds {
				b.Logf("%-24s p50 %5.1f ms, p99 %5.1f ms", kind.name, percentile(took[i], 50), percentile(took[i], 99))
				all = append(all, took[i]...)
			}
			b.ReportMetric(percentile(all, 50), "p50-ms")
			b.ReportMetric(percentile(all, 99), "p99-ms")
			b.ReportMetric(percentile(all, 100), "max-ms")
			b.ReportMetric(0, "ns/op") // that of 200 changes says nothing
		})
	}
}

// A kind of change, of which there are several in one run, and how the first request is told that notices it.
type kind struct {
	name   string
	change func(n int) error
	seen   func(n int, response *http.Response) bool
}

// changesOf gives the kinds, in an order in which each undoes what has to be undone.
func changesOf(b *testing.B, agent *api.Agent) []kind {
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(backend.Close)
	host, text, err := net.SplitHostPort(backend.Listener.Addr().String())
	require.NoError(b, err)
	port, err := strconv.Atoi(text)
	require.NoError(b, err)
	const check = "check of changing"
	register := func(n int) error {
		return agent.ServiceRegister(&api.AgentServiceRegistration{
			ID: "changing", Name: "changing", Address: host, Port: port,
			Tags:  []string{"tricot changing.test", fmt.Sprintf("tricot-add-header X-Change %d", n)},
			Check: &api.AgentServiceCheck{CheckID: check, TTL: "1h", Status: api.HealthPassing},
		})
	}
	status := func(status int) func(int, *http.Response) bool {
		return func(_ int, response *http.Response) bool { return response.StatusCode == status }
	}
	return []kind{
		{"registration", register, status(http.StatusOK)},
		{"check turns critical", func(int) error { return agent.UpdateTTL(check, "", api.HealthCritical) },
			status(http.StatusServiceUnavailable)},
		{"check passes", func(int) error { return agent.UpdateTTL(check, "", api.HealthPassing) }, status(http.StatusOK)},
		{"tag edit", register, func(n int, response *http.Response) bool {
			return response.Header.Get("X-Change") == strconv.Itoa(n)
		}},
		{"node enters maintenance", func(int) error { return agent.EnableNodeMaintenance("a benchmark") },
			status(http.StatusServiceUnavailable)},
		{"node leaves maintenance", func(int) error { return agent.DisableNodeMaintenance() }, status(http.StatusOK)},
		{"deregistration", func(int) error { return agent.ServiceDeregister("changing") }, status(http.StatusNotFound)},
	}
}

// percentile gives one in milliseconds.
func percentile(of []time.Duration, percent int) float64 {
	slices.Sort(of)
	return float64(of[min(len(of)-1, len(of)*percent/100)]) / float64(time.Millisecond)
}

// fill puts services into the catalog, a hundred on each node, of which some have a tag for Tricot.
func fill(b *testing.B, client *api.Client, services, tagged int) {
	b.Helper()
	const most = 60 // operations in a transaction
	var operations api.TxnOps
	commit := func() {
		done, response, _, err := client.Txn().Txn(operations, nil)
		require.NoError(b, err)
		require.True(b, done, response)
		operations = nil
	}
	for i := range services {
		node := fmt.Sprintf("filler-%03d", i/100)
		if i%100 == 0 {
			operations = append(operations, &api.TxnOp{Node: &api.NodeTxnOp{Verb: api.NodeSet,
				Node: api.Node{Node: node, Address: "10.0.0.1"}}})
		}
		name := fmt.Sprintf("service-%05d", i)
		tags := []string{"v1", "other " + name}
		if i%(services/tagged) == 0 {
			tags = append(tags, "tricot "+name+".test")
		}
		operations = append(operations, &api.TxnOp{Service: &api.ServiceTxnOp{Verb: api.ServiceSet, Node: node,
			Service: api.AgentService{ID: name, Service: name, Address: "10.0.0.1", Port: 8080, Tags: tags}}})
		if len(operations) >= most {
			commit()
		}
	}
	if len(operations) > 0 {
		commit()
	}
}

// A benchmarked Tricot runs beside an agent, and serves plain HTTP alone.
type benchmarked struct {
	cmd     *exec.Cmd
	log     *output
	address string
	client  *http.Client
	began   time.Time
}

func startBenchmarked(b *testing.B, agent *consultest.Agent, credentials *consultest.TLS) *benchmarked {
	b.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	p := &benchmarked{log: &output{}, address: free.Addr().String(), client: &http.Client{Transport: &http.Transport{}}}
	require.NoError(b, free.Close())
	state := b.TempDir()
	p.cmd = exec.Command(binary, "--node-name", agent.NodeName, "--consul-host", agent.HTTP,
		"--http-bind-addr", p.address, "--https-bind-addr=", "--admin-bind-addr=", "--middleware-redirect-enabled=false",
		"--middleware-access-log-enabled=false", "--certs-issuer", "local", "--certs-store", "dir", "--certs-dir", state,
		"--consul-snapshot-path", filepath.Join(state, "snapshot.json"))
	if credentials != nil {
		p.cmd.Args = append(p.cmd.Args, "--consul-ca-cert", credentials.CA)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.began = time.Now()
	require.NoError(b, p.cmd.Start())
	b.Cleanup(func() {
		p.end()
		if b.Failed() {
			b.Log("Tricot said:\n" + p.log.String())
		}
	})
	for !accepts(p.address) {
		require.Less(b, time.Since(p.began), patience, "Tricot does not start")
	}
	return p
}

// end ends Tricot, which may have been ended before.
func (p *benchmarked) end() {
	p.client.CloseIdleConnections()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// awaitRules waits until the log tells of a table with so many rules, and gives the time from the start to that line.
func (p *benchmarked) awaitRules(b *testing.B, rules int) time.Duration {
	b.Helper()
	told := regexp.MustCompile(fmt.Sprintf(`time=(\S+) level=INFO msg="rules changed" rules=%d `, rules))
	for limit := time.Now().Add(2 * patience); ; runtime.Gosched() {
		if found := told.FindStringSubmatch(p.log.String()); found != nil {
			at, err := time.Parse(time.RFC3339Nano, found[1])
			require.NoError(b, err)
			return at.Sub(p.began)
		}
		require.True(b, time.Now().Before(limit), "there is no table of %d rules", rules)
	}
}

// ask asks for a host, and gives the head of the answer.
func (p *benchmarked) ask(b *testing.B, host string) *http.Response {
	request, err := http.NewRequest(http.MethodGet, "http://"+p.address+"/", nil)
	require.NoError(b, err)
	request.Host = host
	response, err := p.client.Do(request)
	require.NoError(b, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(b, err)
	require.NoError(b, response.Body.Close())
	return response
}

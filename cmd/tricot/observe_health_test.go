package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A mortal is a backend that is killed, and comes back at the same address.
type mortal struct {
	backend
	server *httptest.Server
}

func mortalBackend(t *testing.T) *mortal {
	t.Helper()
	m := &mortal{backend: backend{freeAddress(t)}}
	m.rise(t)
	t.Cleanup(m.kill)
	return m
}

func (m *mortal) rise(t *testing.T) {
	t.Helper()
	m.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "alive") }))
	require.NoError(t, m.server.Listener.Close())
	eventually(t, patience, func() bool {
		listener, err := net.Listen("tcp", m.address)
		m.server.Listener = listener
		return err == nil
	}, "the address is taken")
	m.server.Start()
}

// kill closes the port and all connections, in the middle of whatever they do.
func (m *mortal) kill() {
	_ = m.server.Listener.Close()
	m.server.CloseClientConnections()
	m.server.Close()
}

func TestHealth_ABackendThatIsKilledUnderLoadFailsNoRequestAndComesBack(t *testing.T) {
	t.Parallel()
	var all [3]*mortal
	var services []service
	for i := range all {
		all[i] = mortalBackend(t)
		services = append(services, all[i].service(t, fmt.Sprintf("web-%d", i), "tricot app.test"))
	}
	p := start(t, observed(nil), services...)
	load := p.load(4, 0, "https://app.test/", "alive")
	load.goesOn(t, 200)
	victim, labels := all[1], []string{"service", "web-1", "backend", "http://" + all[1].address}
	state := func() any {
		for _, b := range p.list(t, "routes")[0]["backends"].([]any) {
			if b := b.(map[string]any); b["service"] == "web-1" {
				return b["state"]
			}
		}
		return nil
	}
	problems := func() (subjects []any) {
		for _, problem := range p.list(t, "problems") {
			if problem["kind"] == "backend" {
				subjects = append(subjects, problem["subject"])
			}
		}
		return subjects
	}
	require.Equal(t, "serving", state())

	victim.kill()
	p.awaitMetric(t, 1, "tricot_backend_ejected", labels...)
	p.awaitMetric(t, 1, "tricot_backend_ejections_total", labels...)
	assert.Equal(t, "ejected", state())
	assert.Equal(t, []any{"http://" + victim.address}, problems())
	for _, b := range p.explains(t, "https://app.test/").Backends {
		assert.NotEqual(t, "web-1", b.Service)
	}
	retries, _ := p.metrics(t).value("tricot_request_retries_total", "host", "app.test")
	assert.Positive(t, retries)
	load.goesOn(t, 50)

	victim.rise(t)
	eventually(t, 4*patience, func() bool { return state() == "serving" }, "the backend does not come back")
	p.awaitMetric(t, 0, "tricot_backend_ejected", labels...)
	assert.Empty(t, problems())
	load.goesOn(t, 50)
	load.end(t)
}

package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReload_UnderLoadFailsNoRequest(t *testing.T) {
	t.Parallel()
	var tables [2][]service
	for i, name := range []string{"0", "1"} {
		tables[i] = []service{naming(t, name).service(t, name, "tricot app.test")}
	}
	p := start(t, nil, tables[0]...)

	stop := make(chan struct{})
	failures := make(chan string, 1000)
	var load sync.WaitGroup
	var sent [6]int
	for i := range sent {
		client := p.client(t, []protocol{http1, http2}[i%2])
		load.Go(func() {
			for ; ; sent[i]++ {
				select {
				case <-stop:
					return
				default:
				}
				if failure := ask(client); failure != "" {
					failures <- failure
				}
			}
		})
	}

	probe := p.client(t, http1)
	const changes = 20
	for n := 1; n <= changes; n++ {
		if n%4 < 2 {
			p.writeServices(tables[n%2]...)
		} else { // as an editor that writes in place
			require.NoError(t, os.WriteFile(p.servicesFile(), servicesText(t, tables[n%2]...), 0o644))
		}
		p.eventually(func() bool {
			return get(t, probe, "https://app.test/").body == fmt.Sprint(n%2)
		}, fmt.Sprintf("change %d is not live", n))
	}
	close(stop)
	load.Wait()
	close(failures)
	for failure := range failures {
		assert.Fail(t, failure)
	}
	for _, sent := range sent {
		assert.Greater(t, sent, changes)
	}
}

// ask sends one request and says how it failed.
func ask(client *http.Client) string {
	response, err := client.Get("https://app.test/")
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	if response.StatusCode != http.StatusOK || len(body) != 1 {
		return fmt.Sprintf("%s: %s", response.Status, body)
	}
	return ""
}

func TestReload_OfAWrongFileKeepsTheLastGoodOneUntilItIsRight(t *testing.T) {
	t.Parallel()
	first := naming(t, "first").service(t, "web", "tricot app.test")
	second := naming(t, "second").service(t, "web", "tricot app.test")
	p := start(t, nil, first)
	client := p.client(t, http1)
	served := func(want string) func() bool {
		return func() bool { return get(t, client, "https://app.test/").body == want }
	}

	for name, spoil := range map[string]func() error{
		"no YAML":      func() error { return os.WriteFile(p.servicesFile(), []byte("services: ["), 0o644) },
		"another list": func() error { return os.WriteFile(p.servicesFile(), []byte("services:\n  - nmae: web\n"), 0o644) },
		"removed":      func() error { return os.Remove(p.servicesFile()) },
		"a directory": func() error {
			return errorsOf(os.Remove(p.servicesFile()), os.Mkdir(p.servicesFile(), 0o755))
		},
	} {
		before := len(p.logLines("ERROR", p.servicesFile()))
		require.NoError(t, spoil(), name)
		p.eventually(func() bool { return len(p.logLines("ERROR", p.servicesFile())) > before }, name+": no error is logged")
		assert.True(t, served("first")(), name)

		if name == "a directory" {
			require.NoError(t, os.Remove(p.servicesFile()))
		}
		p.writeServices(second)
		p.eventually(served("second"), name+": does not recover")
		p.writeServices(first)
		p.eventually(served("first"), name+": does not recover")
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestReload_ReportsABadTagOnceAndKeepsTheOthersInForce(t *testing.T) {
	t.Parallel()
	other := naming(t, "other")
	bad := naming(t, "web").service(t, "web",
		"tricot app.test", "tricot app.test/x high", "tricot-add-header X-Served-By web", "urlprefix-/somebody-else")
	p := start(t, nil, bad)
	client := p.client(t, http1)

	reply := get(t, client, "https://app.test/x")
	assert.Equal(t, "web", reply.body)
	assert.Equal(t, "web", reply.Header.Get("X-Served-By"))

	for n := range 3 { // changes elsewhere
		host := fmt.Sprintf("other%d.test", n)
		p.writeServices(bad, other.service(t, "other", "tricot "+host))
		p.awaitCertificate(host)
	}
	assert.Len(t, p.logLines("tricot app.test/x high", "web", "priority"), 1)
	assert.NotContains(t, p.log(), "urlprefix")
}

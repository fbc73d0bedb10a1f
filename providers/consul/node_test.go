package consul_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul"
)

func TestRun_FollowsTheSiteOfItsOwnNode(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	here := newPlace(t, agent.Client(), map[string]string{"site": "north"})
	front := newFront(t, agent)
	f := follow(t, consul.Options{Client: front.client(t), Node: here.node, AllowStale: true, Wait: 500 * time.Millisecond})
	f.untilSite(t, "north")
	here.meta = map[string]string{"site": "south", "rack": "7"}
	here.register(nil)
	f.untilSite(t, "south")
	here.meta = nil
	here.register(nil)
	f.untilSite(t, "")
	f.log.until(t, "no metadata site")
	here.meta = map[string]string{"site": "east"}
	here.register(nil)
	f.untilSite(t, "east")
	_, err := agent.Client().Catalog().Deregister(&api.CatalogDeregistration{Node: here.node}, nil)
	require.NoError(t, err)
	f.untilSite(t, "")
	f.log.until(t, "level=WARN", "is not in Consul")
	here.register(nil)
	f.untilSite(t, "east")
	assert.Equal(t, []string{"north", "south", "", "east", "", "east"}, f.told())
	assert.Len(t, f.log.lines("no metadata site"), 1)
	assert.Len(t, f.log.lines("is not in Consul"), 1)
}

func TestRun_SaysOnceThatItsNodeIsNotInConsul(t *testing.T) {
	t.Parallel()
	agent, node := shared.Agent(t), unique()
	front := newFront(t, agent)
	f := follow(t, consul.Options{Client: front.client(t), Node: node, AllowStale: true, Wait: 100 * time.Millisecond})
	path := "/v1/catalog/node/" + node
	require.Eventually(t, func() bool { return front.asked(path) > 5 }, patience, time.Millisecond)
	assert.Len(t, f.log.lines("is not in Consul"), 1)
	assert.Empty(t, f.told())
	_, err := agent.Client().Catalog().Register(&api.CatalogRegistration{
		Node: node, Address: "10.0.0.1", NodeMeta: map[string]string{"site": "north"},
	}, nil)
	require.NoError(t, err)
	f.untilSite(t, "north")
}

func TestRun_WakesForItsOwnNodeAlone(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	here := newPlace(t, agent.Client(), map[string]string{"site": "north"})
	ours := unique()
	here.register(web(ours))
	front := newFront(t, agent)
	path := "/v1/catalog/node/" + here.node
	front.set(nil, func(r *http.Response) error {
		if r.Request.URL.Path != path {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Contains(t, string(body), "north")
		assert.NotContains(t, string(body), ours, "its services, which may be many")
		r.Body = io.NopCloser(bytes.NewReader(body))
		return nil
	})
	f := follow(t, consul.Options{Client: front.client(t), Node: here.node, AllowStale: true})
	f.untilSite(t, "north")
	require.Eventually(t, func() bool { return front.asked(path) == 2 }, patience, time.Millisecond)
	elsewhere, name := newPlace(t, agent.Client(), nil), unique()
	for range 20 {
		elsewhere.meta = map[string]string{"site": unique()}
		elsewhere.register(web(name))
	}
	f.until(t, name, number(1))
	assert.Equal(t, 2, front.asked(path))
}

func TestRun_AsksNothingAboutItsNodeWhereTheSiteIsSet(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	newPlace(t, agent.Client(), nil).register(web(name))
	front := newFront(t, agent)
	f := follow(t, consul.Options{Client: front.client(t), Node: agent.NodeName, Site: "set", AllowStale: true})
	f.until(t, name, number(1))
	assert.Zero(t, front.asked("/v1/catalog/node/"+agent.NodeName))
	assert.Empty(t, f.told())
}

func TestNew_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	client := connect(t, consul.Connection{Host: "http://127.0.0.1:1"})
	for _, wrong := range []struct {
		options consul.Options
		reason  string
	}{
		{consul.Options{Node: "n"}, "client"},
		{consul.Options{Client: client}, "node"},
		{consul.Options{Client: client, Node: "n", Wait: 11 * time.Minute}, "ten minutes"},
	} {
		_, err := consul.New(wrong.options)
		require.ErrorContains(t, err, wrong.reason)
	}
	provider, err := consul.New(consul.Options{Client: client, Node: "n"})
	require.NoError(t, err)
	assert.Equal(t, "consul", provider.Name())
}

package consultest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var shared Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func TestDev_HasItsNodeWithItsMetadataInTheCatalog(t *testing.T) {
	t.Parallel()
	agent := Dev(t, Options{NodeName: "box", Site: "north", Meta: map[string]string{"rack": "7"}})
	node, _, err := agent.Client().Catalog().Node("box", nil)
	require.NoError(t, err)
	require.NotNil(t, node)
	assert.Equal(t, "box", agent.NodeName)
	assert.Equal(t, "127.0.0.1", node.Node.Address)
	assert.Equal(t, "north", node.Node.Meta["site"])
	assert.Equal(t, "7", node.Node.Meta["rack"])
}

func TestDev_TakesFurtherConfigurationThatWins(t *testing.T) {
	t.Parallel()
	agent := Dev(t, Options{HCL: `
		session_ttl_min = "1s"
		log_level = "info"
	`})
	assert.Contains(t, string(agent.server.logFrom(0)), "[INFO]")
	_, _, err := agent.Client().Session().Create(&api.SessionEntry{TTL: "1s"}, nil)
	require.NoError(t, err)
}

func TestDev_RunsSeveralAtOnce(t *testing.T) {
	t.Parallel()
	one, other := Dev(t, Options{}), Dev(t, Options{})
	put(t, one, "key", "one")
	assert.NotEqual(t, one.HTTP, other.HTTP)
	assert.NotEqual(t, one.NodeName, other.NodeName)
	assert.Empty(t, get(t, other, "key"))
}

func TestAgent_IsGoneAfterStopAndForgetsOverRestart(t *testing.T) {
	t.Parallel()
	agent := Dev(t, Options{})
	put(t, agent, "key", "value")
	agent.Stop()
	_, err := agent.Client().Status().Leader()
	require.ErrorContains(t, err, "connection refused")
	agent.Stop() // a second time does nothing

	address, name := agent.HTTP, agent.NodeName
	agent.Restart()
	assert.Equal(t, address, agent.HTTP)
	assert.Equal(t, name, agent.NodeName)
	assert.Empty(t, get(t, agent, "key"))
}

func TestAgent_KeepsItsDataOverRestartWhereItIsPersistent(t *testing.T) {
	t.Parallel()
	agent := Dev(t, Options{Persistent: true})
	put(t, agent, "key", "value")
	agent.Restart() // kills it first
	assert.Equal(t, "value", get(t, agent, "key"))
}

func TestAgent_AnswersNothingWhilePausedAndEverythingAfterwards(t *testing.T) {
	t.Parallel()
	agent := Dev(t, Options{})
	put(t, agent, "key", "value")
	agent.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, _, err := agent.Client().KV().Get("key", (&api.QueryOptions{}).WithContext(ctx))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	agent.Resume()
	assert.Equal(t, "value", get(t, agent, "key"))
}

func TestAgent_EndsAndRestartsWhilePaused(t *testing.T) {
	t.Parallel()
	agent := Dev(t, Options{})
	agent.Pause()
	agent.Restart()
	put(t, agent, "key", "value")
	agent.Pause() // and so its clean-up finds it
}

func TestAgent_LetsNobodyInWithoutATokenWhereItHasACL(t *testing.T) {
	t.Parallel()
	agent := Dev(t, Options{ACL: true})
	put(t, agent, "some/key", "value")
	pair, _, err := agent.ClientWith("").KV().Get("some/key", nil)
	if err == nil { // Consul hides what may not be read
		assert.Nil(t, pair)
	}
	_, err = agent.ClientWith("").KV().Put(&api.KVPair{Key: "some/key"}, nil)
	require.ErrorContains(t, err, "Permission denied")

	reader := agent.ClientWith(agent.NewToken(`key_prefix "some/" { policy = "read" }`))
	pair, _, err = reader.KV().Get("some/key", nil)
	require.NoError(t, err)
	assert.Equal(t, "value", string(pair.Value))
	_, err = reader.KV().Put(&api.KVPair{Key: "some/key"}, nil)
	require.ErrorContains(t, err, "Permission denied")
}

func TestAgent_SpeaksHTTPSAloneWhereItHasTLS(t *testing.T) {
	t.Parallel()
	files := NewTLS(t)
	agent := Dev(t, Options{TLS: files})
	assert.Regexp(t, `^https://127\.0\.0\.1:\d+$`, agent.HTTP)
	put(t, agent, "key", "value")

	require.NoError(t, leaderBy(agent, api.TLSConfig{CAFile: files.CA}), "no client certificate is asked for")
	require.ErrorContains(t, leaderBy(agent, api.TLSConfig{}), "unknown authority")
	require.ErrorContains(t, leaderBy(agent, api.TLSConfig{CAFile: NewTLS(t).CA}), "unknown authority")
}

func TestAgent_AsksForAClientCertificateOfItsAuthorityWhereItVerifiesIncoming(t *testing.T) {
	t.Parallel()
	files, others := NewTLS(t), NewTLS(t)
	files.VerifyIncoming = true
	agent := Dev(t, Options{TLS: files})
	put(t, agent, "key", "value")

	require.Error(t, leaderBy(agent, api.TLSConfig{CAFile: files.CA}))
	wrong := api.TLSConfig{CAFile: files.CA, CertFile: others.ClientCert, KeyFile: others.ClientKey}
	require.Error(t, leaderBy(agent, wrong))
	require.NoError(t, leaderBy(agent, files.client()))
}

func TestShared_IsOneAgentForAllThatAsk(t *testing.T) {
	t.Parallel()
	one, other := shared.Agent(t), shared.Agent(t)
	assert.Equal(t, one.HTTP, other.HTTP)
	put(t, one, t.Name(), "value")
	assert.Equal(t, "value", get(t, other, t.Name()))
}

func TestCluster_ElectsAnotherLeaderWhenItsOwnIsKilled(t *testing.T) {
	t.Parallel()
	servers := Cluster(t, 3)
	require.Len(t, servers.Agents, 3)
	client := servers.Join(Options{Site: "north"})
	first := servers.Leader()
	put(t, first, "key", "value")
	first.Stop()

	second := servers.Leader()
	assert.NotEqual(t, first.NodeName, second.NodeName)
	assert.Equal(t, "value", get(t, second, "key"))
	require.Eventually(t, func() bool {
		pair, _, err := client.Client().KV().Get("key", nil)
		return err == nil && pair != nil && string(pair.Value) == "value"
	}, 30*time.Second, 10*time.Millisecond, "an agent that is no server finds the new leader")

	first.Restart()
	assert.Contains(t, servers.Agents, servers.Leader(), "all three agree on one again")
	put(t, servers.Leader(), "key", "later")
	assert.Equal(t, "later", get(t, first, "key"))
}

func TestCluster_ComesBackWithItsDataWhenAllWereKilled(t *testing.T) {
	t.Parallel()
	servers := Cluster(t, 3, Options{ACL: true})
	put(t, servers.Leader(), "key", "value")
	for _, agent := range servers.Agents {
		agent.Stop()
	}
	for _, agent := range servers.Agents {
		agent.Restart()
	}
	assert.Equal(t, "value", get(t, servers.Leader(), "key"))
}

func TestCluster_ElectsAnotherLeaderWhenItsOwnIsFrozen(t *testing.T) {
	t.Parallel()
	servers := Cluster(t, 3)
	first := servers.Leader()
	first.Pause()
	second := servers.Leader()
	assert.NotEqual(t, first.NodeName, second.NodeName)
	first.Resume()
	assert.NotNil(t, servers.Leader())
}

func put(t *testing.T, agent *Agent, key, value string) {
	t.Helper()
	_, err := agent.Client().KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil)
	require.NoError(t, err)
}

// get gives an empty value where there is none.
func get(t *testing.T, agent *Agent, key string) string {
	t.Helper()
	pair, _, err := agent.Client().KV().Get(key, nil)
	require.NoError(t, err)
	if pair == nil {
		return ""
	}
	return string(pair.Value)
}

// leaderBy asks for the leader with these credentials.
func leaderBy(agent *Agent, credentials api.TLSConfig) error {
	client, err := api.NewClient(&api.Config{Address: agent.HTTP, TLSConfig: credentials})
	if err != nil {
		return err
	}
	_, err = client.Status().Leader()
	return err
}

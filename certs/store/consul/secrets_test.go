package consul_test

import (
	"encoding/base64"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestLog_HasEachExchangeAndNeverAValueOrAToken(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{ACL: true, HCL: quick})
	token := agent.NewToken(policy(t, agent.NodeName))
	const secret = "-----BEGIN PRIVATE KEY-----"
	log, logger := newLog(slog.LevelDebug)
	o := consul.Options{
		Client: agent.ClientWith(token), Prefix: "tricot/", Log: logger, Timeout: patience, Wait: 100 * time.Millisecond,
	}
	s := open(t, agent, o)
	o.Timeout = 300 * time.Millisecond
	hasty := open(t, agent, o) // for a Consul that does not answer
	lines := follow(t, s, "certs/")
	told(t, lines, "")
	var errs []error
	try := func(_ any, err error) { errs = append(errs, err) }
	saved := save(t, s, "certs/a", secret)
	told(t, lines, "certs/a="+secret)
	try(s.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte(secret)}))
	try(s.Load(t.Context(), "certs/b"))
	held := lock(t, s, "a")
	saved, err := held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte(secret), Version: saved.Version})
	require.NoError(t, err)
	try(held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte(secret)}))
	require.NoError(t, held.Unlock(t.Context()))
	agent.Pause()
	try(hasty.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte(secret), Version: saved.Version}))
	try(hasty.Load(t.Context(), "certs/a"))
	agent.Resume()
	agent.Stop()
	try(hasty.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte(secret), Version: saved.Version}))
	// Where the pause was long enough to be noticed, it has been said before, and taken back after.
	eventually(t, func() bool { return log.count(begins) > log.count(ends) }, "it is not said")
	eventually(t, func() bool { return log.count("connection refused") > 0 }, "Follow does not go on asking")

	text := log.String()
	for _, err := range errs {
		require.Error(t, err)
		text += err.Error() + "\n"
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	for _, never := range []string{token, agent.Token, "PRIVATE KEY", encoded, encoded[:16]} {
		assert.NotContains(t, text, never)
	}
	for _, line := range []string{
		`method=GET path=/v1/kv/tricot/certs/\?recurse index=0 took=\S+ outcome=ok`,
		`method=GET path=/v1/kv/tricot/certs/\?recurse index=[1-9]\d* took=\S+ outcome=ok`,
		`method=GET path=/v1/kv/tricot/certs/b index=0 took=\S+ outcome=ok`,
		`method=PUT path=/v1/txn operations="cas tricot/certs/a" took=\S+ outcome=ok`,
		`method=PUT path=/v1/txn operations="cas tricot/certs/a" took=\S+ outcome="Consul refused: [^"]*\\"tricot/certs/a\\", index is stale"`,
		`method=PUT path=/v1/session/create took=\S+ outcome=ok`,
		`method=PUT path=/v1/txn operations="lock tricot/locks/a" took=\S+ outcome=ok`,
		`method=PUT path=/v1/txn operations="check-session tricot/locks/a, cas tricot/certs/a" took=\S+ outcome=ok`,
		`method=PUT path=/v1/session/destroy/\S+ took=\S+ outcome=ok`,
		`outcome="no answer to PUT /v1/txn"`,
		`outcome=.*connection refused`,
	} {
		assert.Regexp(t, `level=DEBUG msg="asked Consul" .*`+line, text)
	}
}

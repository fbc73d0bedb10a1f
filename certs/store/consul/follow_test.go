package consul_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

const (
	begins = "the store in Consul cannot be read"
	ends   = "the store in Consul can be read again"
)

func TestFollow_DoesNotPoll(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	log, logger := newLog(slog.LevelDebug)
	s, other := open(t, agent, consul.Options{Log: logger}), open(t, agent, consul.Options{})
	save(t, other, "certs/a", "one")
	lines := follow(t, s, "certs/")
	told(t, lines, "certs/a=one")
	for i := range 5 { // beside what it follows
		save(t, other, fmt.Sprintf("certs-old/%d", i), "one")
	}
	assert.Never(t, func() bool { return log.count("asked Consul") > 1 }, 500*time.Millisecond, 50*time.Millisecond)
	save(t, other, "certs/b", "one")
	told(t, lines, "certs/a=one certs/b=one")
	assert.Equal(t, 2, log.count("asked Consul"), log)
}

func TestFollow_GoesOnWhereAWaitEndsWithoutAChange(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	log, logger := newLog(slog.LevelDebug)
	s, other := open(t, agent, consul.Options{Log: logger, Wait: 10 * time.Millisecond}), open(t, agent, consul.Options{})
	save(t, other, "certs/a", "one")
	lines := follow(t, s, "certs/")
	told(t, lines, "certs/a=one")
	eventually(t, func() bool { return log.count("asked Consul") > 5 }, "it does not ask again")
	assert.Empty(t, lines, "nothing changed")
	save(t, other, "certs/b", "one")
	told(t, lines, "certs/a=one certs/b=one")
}

func TestFollow_TellsManyChangesTogether(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	log, logger := newLog(slog.LevelDebug)
	s, other := open(t, agent, consul.Options{Log: logger}), open(t, agent, consul.Options{})
	lines := follow(t, s, "certs/")
	told(t, lines, "")
	var want []string
	begin := time.Now()
	for i := range 200 {
		save(t, other, fmt.Sprintf("certs/%03d", i), "one")
		want = append(want, fmt.Sprintf("certs/%03d=one", i))
	}
	told(t, lines, strings.Join(want, " "))
	asked := log.count("asked Consul")
	assert.LessOrEqual(t, asked, 5+int(time.Since(begin)/(50*time.Millisecond)), "at most twenty times a second")
}

func TestFollow_TellsNothingThatIsNoRecord(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	s := open(t, agent, consul.Options{})
	for _, key := range []string{"certs/", "certs/a b", "certs/a/", "certs/ä"} {
		_, err := agent.Client().KV().Put(&api.KVPair{Key: prefix(t) + key, Value: []byte("x")}, nil)
		require.NoError(t, err)
	}
	lines := follow(t, s, "certs/")
	told(t, lines, "")
	save(t, s, "certs/a", "one")
	told(t, lines, "certs/a=one")
}

func TestFollow_BelievesNoAnswerThatIsNotOfAConsulInGoodOrder(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		code   int
		header map[string]string
		body   string
	}{
		"404-by-another":         {404, nil, "404 page not found"},
		"200-by-another":         {200, nil, "[]"},
		"a-page":                 {200, map[string]string{"X-Consul-Index": "9", "X-Consul-KnownLeader": "true"}, "<html>"},
		"a-page-of-an-error":     {502, nil, "<html>" + strings.Repeat("x", 10000)},
		"an-error":               {500, nil, "rpc error making call: No cluster leader"},
		"empty-without-a-leader": {404, map[string]string{"X-Consul-Index": "9", "X-Consul-KnownLeader": "false"}, ""},
		"empty-without-an-index": {404, map[string]string{"X-Consul-KnownLeader": "true"}, ""},
		"too-many-requests":      {429, nil, "rate limit exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent := shared.Agent(t)
			client, m := meddled(t, agent)
			log, logger := newLog(slog.LevelDebug)
			s := open(t, agent, consul.Options{Client: client, Log: logger, Wait: 50 * time.Millisecond})
			other := open(t, agent, consul.Options{})
			save(t, other, "certs/a", "one")
			lines := follow(t, s, "certs/")
			told(t, lines, "certs/a=one")

			m.meddle(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
				response := &http.Response{
					StatusCode: answer.code, Header: http.Header{}, Request: r,
					Body: io.NopCloser(bytes.NewReader([]byte(answer.body))),
				}
				for name, value := range answer.header {
					response.Header.Set(name, value)
				}
				return response, nil
			})
			eventually(t, func() bool { return log.count(begins) > 0 }, "nothing is said of it")
			before := log.count("asked Consul")
			eventually(t, func() bool { return log.count("asked Consul") > before+1 }, "it does not try again")
			save(t, other, "certs/b", "one")
			m.meddle(nil)
			told(t, lines, "certs/a=one certs/b=one")
			assert.Empty(t, lines, "it told something in between")
			assert.Equal(t, 1, log.count(begins))
			assert.Equal(t, 1, log.count(ends))
			assert.Less(t, log.count("asked Consul"), 30, "it asked in a tight loop")
			assert.Less(t, len(log.String()), 20000, "it logs whole pages")
		})
	}
}

func TestFollow_TellsTheTruthOfAConsulThatHasForgottenEverything(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{HCL: quick})
	log, logger := newLog(slog.LevelInfo)
	s := open(t, agent, consul.Options{Log: logger})
	for i := range 20 { // so that the index is far ahead of what it begins with
		save(t, s, fmt.Sprintf("other/%d", i), "x")
	}
	save(t, s, "certs/a", "one")
	lines := follow(t, s, "certs/")
	told(t, lines, "certs/a=one")
	held := lock(t, s, "a")

	agent.Restart()

	told(t, lines, "")
	save(t, s, "certs/a", "two")
	told(t, lines, "certs/a=two")
	closed(t, held.Lost(), "Lost was not closed")
	_, err := held.Save(t.Context(), store.Record{Key: "certs/b"})
	require.ErrorIs(t, err, store.ErrLockLost)
	require.NoError(t, held.Unlock(t.Context()))
	assert.Equal(t, 1, log.count(begins))
	assert.Equal(t, 1, log.count(ends))
}

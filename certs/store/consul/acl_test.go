package consul_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/certs/store/storetest"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// policy is the one of README.md, for a node.
func policy(t *testing.T, node string) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, found, "README.md has no policy")
	require.Contains(t, string(found[1]), `"NODE"`)
	return strings.ReplaceAll(string(found[1]), "NODE", node)
}

func TestPolicy_IsEnoughForTheStore(t *testing.T) {
	t.Parallel()
	// With enable_key_list_policy Consul asks for more: the right to list keys, which is a part of that to write them.
	for _, extra := range []string{"", "acl { enable_key_list_policy = true }"} {
		t.Run(fmt.Sprintf("key-list-policy-%t", extra != ""), func(t *testing.T) {
			t.Parallel()
			agent := consultest.Dev(t, consultest.Options{ACL: true, HCL: quick + extra})
			token := agent.NewToken(policy(t, agent.NodeName))
			storetest.Run(t, func(t *testing.T) func() store.Store {
				return func() store.Store {
					return open(t, agent, consul.Options{Client: agent.ClientWith(token), Prefix: "tricot/" + prefix(t)})
				}
			})
		})
	}
}

func TestPolicy_HasNothingThatIsNotNeeded(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{ACL: true, HCL: quick})
	whole := open(t, agent, consul.Options{Prefix: "tricot/"}) // with every right
	record := save(t, whole, "certs/there", "one")
	policy := policy(t, agent.NodeName)
	rules := regexp.MustCompile(`(?m)^(\S+ "[^"]*") \{ policy = "write" \}$`).FindAllString(policy, -1)
	require.Len(t, rules, 2, "a rule is added that no test takes away")
	keys, sessions := rules[0], rules[1]
	require.Contains(t, keys, `key_prefix "tricot/"`)
	require.Contains(t, sessions, fmt.Sprintf("session %q", agent.NodeName))
	read := func(rule string) string { return strings.Replace(rule, "write", "read", 1) }

	const (
		load, write, remove, lock, follow = "load", "save", "delete", "lock", "follow"
	)
	for name, test := range map[string]struct {
		token   string
		refused []string
	}{
		"all":                            {agent.NewToken(keys + "\n" + sessions), nil},
		"no sessions":                    {agent.NewToken(keys), []string{lock}},
		"sessions read only":             {agent.NewToken(keys + "\n" + read(sessions)), []string{lock}},
		"sessions of another node":       {agent.NewToken(keys + "\n" + `session "another" { policy = "write" }`), []string{lock}},
		"no keys":                        {agent.NewToken(sessions), []string{load, write, remove, lock, follow}},
		"keys read only":                 {agent.NewToken(read(keys) + "\n" + sessions), []string{write, remove, lock}},
		"keys elsewhere":                 {agent.NewToken(`key_prefix "other/" { policy = "write" }` + "\n" + sessions), []string{load, write, remove, lock, follow}},
		"one key that may not be read":   {agent.NewToken(keys + "\n" + sessions + "\n" + `key "tricot/certs/there" { policy = "deny" }`), []string{load, follow}},
		"no locks":                       {agent.NewToken(keys + "\n" + sessions + "\n" + `key_prefix "tricot/locks/" { policy = "deny" }`), []string{lock}},
		"no token":                       {"", []string{load, write, remove, lock, follow}},
		"a token that there never was":   {"11111111-2222-3333-4444-555555555555", []string{load, write, remove, lock, follow}},
		"sessions of every node instead": {agent.NewToken(keys + "\n" + `session_prefix "" { policy = "write" }`), nil},
	} {
		log, logger := newLog(slog.LevelInfo)
		s := open(t, agent, consul.Options{Client: agent.ClientWith(test.token), Prefix: "tricot/", Log: logger})
		mine := save(t, whole, "certs/"+strings.ReplaceAll(name, " ", "-"), "one")
		for _, operation := range []struct {
			name string
			do   func() error
		}{
			{load, func() error {
				loaded, err := s.Load(t.Context(), "certs/there")
				if err == nil {
					assert.Equal(t, record, loaded)
				}
				return err
			}},
			{write, func() error {
				_, err := s.Save(t.Context(), mine)
				return err
			}},
			{remove, func() error { return s.Delete(t.Context(), mine.Key) }},
			{lock, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				held, err := s.Lock(ctx, "a")
				if err != nil {
					return err
				}
				_, err = held.Save(ctx, store.Record{Key: mine.Key, Value: []byte("two")})
				assert.NoError(t, err, name)
				return held.Unlock(ctx)
			}},
			{follow, func() error {
				_ = whole.Delete(t.Context(), mine.Key)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				told := make(chan []store.Record, 1)
				ended := make(chan error, 1)
				go func() {
					ended <- s.Follow(ctx, "certs/", func(records []store.Record) { told <- records; cancel() })
				}()
				eventually(t, func() bool { return len(told) > 0 || log.count(begins) > 0 }, name)
				cancel()
				require.NoError(t, closed(t, ended, name))
				if len(told) > 0 {
					assert.Equal(t, []store.Record{record}, <-told, name)
					return nil
				}
				return fmt.Errorf("%s", log.String())
			}},
		} {
			err := operation.do()
			refused := false
			for _, which := range test.refused {
				refused = refused || which == operation.name
			}
			if !refused {
				assert.NoError(t, err, "%s: %s", name, operation.name)
				continue
			}
			require.Error(t, err, "%s: %s", name, operation.name)
			assert.Contains(t, err.Error(), "Consul answered 403: ", name)
			assert.NotContains(t, err.Error(), "given up", "%s: %s: it tried what is no use", name, operation.name)
			if test.token != "" {
				assert.NotContains(t, err.Error(), test.token)
			}
		}
	}
}

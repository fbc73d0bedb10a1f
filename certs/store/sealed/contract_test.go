package sealed_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
	"github.com/tricot-proxy/tricot/certs/store/storetest"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// keeps holds sealed stores to the contract, around those that place makes: a new place each time, with any number of
// handles on it.
func keeps(t *testing.T, place func(t *testing.T) (open func() store.Store)) {
	a, b := key(t, 'a'), key(t, 'b')
	for name, handles := range map[string][][]sealed.Key{ // the keys of the handles on one place, in turn
		"WithNoKey":                  {{}},
		"WithOneKey":                 {{a}},
		"WithTwoKeys":                {{a, b}},
		"InTheMiddleOfAChangeOfKeys": {{a, b}, {b, a}},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) func() store.Store {
				inner, opened := place(t), 0
				return func() store.Store {
					keys := handles[opened%len(handles)]
					opened++
					return wrap(t, inner(), keys...)
				}
			})
		})
	}
}

func TestStore_KeepsTheContractInADirectory(t *testing.T) {
	keeps(t, func(t *testing.T) func() store.Store {
		path := t.TempDir()
		return func() store.Store { return openDir(t, path) }
	})
}

func TestStore_KeepsTheContractInConsul(t *testing.T) {
	agent := consultest.Dev(t, consultest.Options{HCL: "limits { http_max_conns_per_client = 2000 }"})
	var places atomic.Int32
	keeps(t, func(t *testing.T) func() store.Store {
		prefix := fmt.Sprintf("sealed-%d/", places.Add(1))
		return func() store.Store {
			s, err := consul.Open(consul.Options{Client: agent.ClientWith(agent.Token), Prefix: prefix})
			require.NoError(t, err)
			return s
		}
	})
}

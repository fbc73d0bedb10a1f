package dir_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/certs/store/storetest"
)

func TestStore_KeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() store.Store {
		path := t.TempDir()
		return func() store.Store {
			s, err := dir.Open(dir.Options{Dir: path})
			require.NoError(t, err)
			return s
		}
	})
}

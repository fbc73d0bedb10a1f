package file

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "services: []", "services:\n- {name: a, address: b, port: 1, node: c, site: d, id: e, tags: [tricot a, 'b: c']}",
		"services: &a [*a]", "services: [", "services: []\n---\n", "? [a]\n: b", "services:\n- <<: {}\n  port: 0x1F\n  name: !!binary x",
		"services:\n- {name: a, address: b, port: 1}\n- {name: a, address: b, port: 1}\n- {id: x}\n- {id: x}",
		"services:\n- {name: a-b, address: c, port: 1}\n- {name: a, address: b-c, port: 1}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		snapshot, err := parse("services.yaml", content)
		if err != nil {
			require.Empty(t, snapshot)
			for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
				var problem *Error
				require.True(t, errors.As(err, &problem))
				require.NotEmpty(t, problem.Reason)
				require.NotContains(t, problem.Error(), "\n")
			}
			return
		}
		ids := make(map[string]bool)
		for _, instance := range snapshot.Instances {
			require.NotEmpty(t, instance.ID)
			require.False(t, ids[instance.ID], "two services have the id %q", instance.ID)
			ids[instance.ID] = true
			require.NotEmpty(t, instance.Service)
			require.True(t, isAddress(instance.Address))
			require.False(t, strings.HasPrefix(instance.Address, "["))
			require.True(t, 1 <= instance.Port && instance.Port <= 65535)
			require.True(t, instance.Healthy)
		}
		again, err := parse("other.yaml", content)
		require.NoError(t, err)
		require.Equal(t, snapshot, again)
	})
}

func BenchmarkParse(b *testing.B) {
	var content strings.Builder
	content.WriteString("services:\n")
	for i := range 1000 {
		fmt.Fprintf(&content, "  - name: web\n    address: 127.0.0.1\n    port: %d\n    tags:\n      - tricot localhost\n", 3000+i)
	}
	b.ReportAllocs()
	var snapshot providers.Snapshot
	var err error
	for b.Loop() {
		snapshot, err = parse("services.yaml", []byte(content.String()))
	}
	require.NoError(b, err)
	require.Len(b, snapshot.Instances, 1000)
}

package main_test

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPort_ThatIsTakenIsOneLineAndExitCode1(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"http.bind_addr", "https.bind_addr"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer taken.Close()
			p := newProxy(t, config{"log.level": "warn", key: taken.Addr().String()})
			p.launch()

			assert.Equal(t, 1, p.exitCode())
			assertOneLine(t, p.log(), key, taken.Addr().String(), "another program listens there already")
		})
	}
}

// assertOneLine wants nothing said but one line that has all of the parts.
func assertOneLine(t *testing.T, log string, parts ...string) {
	t.Helper()
	assert.Equal(t, 1, strings.Count(log, "\n"), log)
	for _, part := range parts {
		assert.Contains(t, log, part)
	}
}

func TestEntrypoint_OfAnEmptyAddressIsNotServed(t *testing.T) {
	t.Parallel()
	web := naming(t, "web").service(t, "web", "tricot app.test")
	p := newProxy(t, config{"http.bind_addr": ""}, web)
	p.launch()
	p.eventually(func() bool { return p.mustRun() && accepts(p.httpsAddress) }, "no HTTPS")
	p.awaitCertificate("app.test")
	assert.Equal(t, "web", get(t, p.client(t, http1), "https://app.test/").body)
	assert.False(t, accepts(p.httpAddress))
}

// Package servertest is what the tests of the entrypoint, and of its servers of HTTP/1.1 and HTTP/2, have in common: real
// ports with and without TLS, waiting, a log that can be searched, handlers that find the same whichever the version, and
// net/http's server to compare with. What only one version has stays with the tests of that version. It imports none of the
// servers.
package servertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// Patience is what no test waits for unless it fails. It is much, so that a busy machine fails no test.
	Patience = 30 * time.Second
	// Step is how often a test looks meanwhile.
	Step = time.Millisecond
)

// Receive gives what comes on a channel, the zero value where it is closed, or fails the test.
func Receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

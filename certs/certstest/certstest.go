// Package certstest is what the tests of certs, and of the packages below it, have in common: an issuer that tells what
// it was asked for, a client's handshake, a log that can be searched, and waiting. All of it works in a synctest bubble,
// where time passes as fast as nothing happens.
package certstest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what has to come. It is much, so that a busy machine fails no test.
const patience = 30 * time.Second

// Run runs something until the test ends or it is stopped, and holds it to return nil then.
func Run(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

// Eventually waits until something holds, or fails the test. It looks from the test's own goroutine.
func Eventually(t testing.TB, holds func() bool, message ...any) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			require.Fail(t, "it did not come true", message...)
		}
	}
}

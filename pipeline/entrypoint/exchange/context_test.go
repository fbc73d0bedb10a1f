package exchange

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is what no test waits for unless it fails.
const patience = 30 * time.Second

// counting is a Watcher that counts how often it was asked.
type counting struct{ asked atomic.Int32 }

func (c *counting) Asked() { c.asked.Add(1) }

func receive[T any](t *testing.T, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestContext_EndsWithCancelForWhoeverAsked(t *testing.T) {
	var c Context
	done := c.Done()
	assert.NoError(t, c.Err())
	assert.False(t, isClosed(done))
	ran, derivedRan := make(chan struct{}), make(chan struct{})
	c.AfterFunc(func() { close(ran) })
	derived, cancel := context.WithTimeout(&c, time.Hour)
	defer cancel()
	context.AfterFunc(derived, func() { close(derivedRan) })

	c.Cancel()
	assert.True(t, isClosed(done))
	assert.ErrorIs(t, c.Err(), context.Canceled)
	receive(t, ran)
	receive(t, derived.Done())
	receive(t, derivedRan)
	c.Cancel() // would close channels again
}

func TestContext_HasEndedForWhoAsksAfterwards(t *testing.T) {
	var c Context
	c.Cancel()
	assert.True(t, isClosed(c.Done()))
	assert.ErrorIs(t, c.Err(), context.Canceled)
	ran := make(chan struct{})
	stop := c.AfterFunc(func() { close(ran) })
	receive(t, ran)
	assert.False(t, stop())
}

func TestContext_CallsNoFunctionThatWasStopped(t *testing.T) {
	var c Context
	first, last := make(chan struct{}), make(chan struct{})
	c.AfterFunc(func() { close(first) })
	stop := c.AfterFunc(func() { assert.Fail(t, "it was stopped") })
	c.AfterFunc(func() { close(last) })
	assert.True(t, stop())
	assert.False(t, stop())
	c.Cancel()
	receive(t, first)
	receive(t, last)
	assert.False(t, stop())
}

func TestContext_TellsItsWatcherTheFirstTimeThatSomebodyAsks(t *testing.T) {
	for name, ask := range map[string]func(c *Context){
		"Done":              func(c *Context) { c.Done() },
		"Err":               func(c *Context) { _ = c.Err() },
		"AfterFunc":         func(c *Context) { c.AfterFunc(func() {}) },
		"a derived context": func(c *Context) { _, cancel := context.WithCancel(c); cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			watcher := new(counting)
			c := &Context{Watcher: watcher}
			_, bounded := c.Deadline()
			assert.False(t, bounded)
			assert.Nil(t, c.Value("any key"))
			assert.Zero(t, watcher.asked.Load(), "nobody wants to know yet")
			ask(c)
			ask(c)
			assert.EqualValues(t, 1, watcher.asked.Load())

			watcher = new(counting)
			c = &Context{Watcher: watcher}
			c.Cancel()
			ask(c)
			assert.Zero(t, watcher.asked.Load(), "there is nothing to be found out any more")
		})
	}
}

func TestContext_KnowsTheServerAndTheAddress(t *testing.T) {
	local, server := &net.TCPAddr{Port: 443}, new(http.Server)
	c := &Context{Local: local, Server: server}
	assert.Same(t, local, c.Value(http.LocalAddrContextKey))
	assert.Same(t, server, c.Value(http.ServerContextKey))
	assert.Nil(t, c.Value("another"))
	c = new(Context)
	assert.Nil(t, c.Value(http.LocalAddrContextKey))
	assert.Nil(t, c.Value(http.ServerContextKey), "and not a nil *http.Server")
}

func TestContext_MayBeUsedByManyAtOnce(t *testing.T) {
	c := &Context{Watcher: new(counting)}
	var users sync.WaitGroup
	for i := range 30 {
		users.Go(func() {
			switch i % 5 {
			case 0:
				c.Cancel()
			case 1:
				<-c.Done()
			case 2:
				_ = c.Err()
			case 3:
				users.Add(1)
				c.AfterFunc(users.Done)
			case 4:
				derived, cancel := context.WithCancel(c)
				defer cancel()
				<-derived.Done()
			}
		})
	}
	users.Wait()
	assert.ErrorIs(t, c.Err(), context.Canceled)
}

func TestContext_AllocatesNothingWhereNobodyWaits(t *testing.T) {
	local, server, watcher := new(net.TCPAddr), new(http.Server), new(counting)
	c := new(Context)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		*c = Context{Local: local, Server: server, Watcher: watcher}
		_, _, _ = c.Err(), c.Value(http.LocalAddrContextKey), c.Value(http.ServerContextKey)
		c.Cancel()
	}))
}

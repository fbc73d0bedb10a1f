package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
)

// follow starts a Follow that ends with the test, and gives what it tells.
func follow(t *testing.T, s store.Store, prefix string) <-chan []store.Record {
	told := make(chan []store.Record, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Follow(ctx, prefix, func(records []store.Record) { told <- slices.Clone(records) }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			assert.NoError(t, err, "Follow returns nil when its context ends")
		case <-time.After(patience):
			assert.Fail(t, "Follow did not return when its context ended")
		}
	})
	return told
}

// next waits until something is told, and until, in what is told.
func next(t *testing.T, told <-chan []store.Record, until func([]store.Record) bool) []store.Record {
	t.Helper()
	deadline := time.After(patience)
	var last []store.Record
	for {
		select {
		case last = <-told:
			if until(last) {
				return last
			}
		case <-deadline:
			require.Fail(t, "Follow did not tell it", "last it told %v", lines(last))
		}
	}
}

// is compares with records written as "key=value".
func is(want ...string) func([]store.Record) bool {
	return func(records []store.Record) bool { return slices.Equal(want, lines(records)) }
}

func lines(records []store.Record) []string {
	var lines []string
	for _, record := range records {
		lines = append(lines, record.Key+"="+string(record.Value))
	}
	return lines
}

func anything([]store.Record) bool { return true }

func followNothing(t *testing.T, open func() store.Store) {
	s := open()
	assert.Empty(t, next(t, follow(t, s, "certs/"), anything))
	save(t, s, "challenge/a", "one")
	assert.Empty(t, next(t, follow(t, s, "certs/"), anything), "with something beside the prefix")
}

func followThere(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	var want []store.Record
	for _, key := range []string{"certs/b", "certs/a.b", "certs/a", "certs/a-b", "certs/d/e", "certs/*.a", "certs/B", "certs/d.e"} {
		want = append(want, save(t, s, key, "of "+key))
	}
	slices.SortFunc(want, func(a, b store.Record) int { return strings.Compare(a.Key, b.Key) })
	assert.Equal(t, want, next(t, follow(t, other, "certs/"), anything))
}

func followChanges(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	near, far := follow(t, s, "certs/"), follow(t, other, "certs/")
	next(t, near, anything)
	next(t, far, anything)

	var times []time.Duration
	seen := func(want ...string) {
		t.Helper()
		begin := time.Now()
		next(t, near, is(want...))
		next(t, far, is(want...))
		times = append(times, time.Since(begin))
	}
	first := save(t, s, "certs/a", "1")
	seen("certs/a=1")
	save(t, s, "certs/b", "1")
	seen("certs/a=1", "certs/b=1")
	second, err := s.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("2"), Version: first.Version})
	require.NoError(t, err)
	seen("certs/a=2", "certs/b=1")
	_, err = other.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("3"), Version: second.Version})
	require.NoError(t, err)
	seen("certs/a=3", "certs/b=1")
	require.NoError(t, s.Delete(t.Context(), "certs/b"))
	seen("certs/a=3")
	held := lock(t, other, "c")
	_, err = held.Save(t.Context(), store.Record{Key: "certs/c", Value: []byte("1")})
	require.NoError(t, err)
	seen("certs/a=3", "certs/c=1")
	require.NoError(t, held.Unlock(t.Context()))
	require.NoError(t, other.Delete(t.Context(), "certs/a"))
	require.NoError(t, other.Delete(t.Context(), "certs/c"))
	seen()
	save(t, other, "certs/d/e", "1")
	seen("certs/d/e=1")

	slices.Sort(times)
	assert.Less(t, times[len(times)/2], time.Second, "half of the changes at least: %v", times)
}

func followPrefix(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	certs, deep := follow(t, s, "certs/"), follow(t, s, "certs/d/")
	next(t, certs, anything)
	next(t, deep, anything)
	for _, key := range []string{"certs-old/a", "certificate", "challenge/a", "account/certs/a", "z/certs/d/a"} {
		save(t, other, key, "no")
	}
	save(t, other, "certs/a", "1")
	next(t, certs, is("certs/a=1"))
	save(t, other, "certs/d/a", "1")
	next(t, certs, is("certs/a=1", "certs/d/a=1"))
	next(t, deep, is("certs/d/a=1"))
}

func followCalls(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var inside, calls atomic.Int32
	first, go_on := make(chan struct{}), make(chan struct{})
	all := make(chan struct{})
	var once sync.Once
	ended := make(chan error, 1)
	go func() {
		ended <- s.Follow(ctx, "certs/", func(records []store.Record) {
			assert.Equal(t, int32(1), inside.Add(1))
			defer inside.Add(-1)
			if calls.Add(1) == 1 {
				close(first)
				<-go_on // changes come while the call is still at work
			}
			if len(records) == 10 {
				once.Do(func() { close(all) })
			}
		})
	}()
	<-first
	for i := range 10 {
		save(t, other, fmt.Sprintf("certs/%d", i), "1")
	}
	close(go_on)
	select {
	case <-all:
	case <-time.After(patience):
		require.Fail(t, "what changed during a call was not told after it")
	}
	cancel()
	select {
	case err := <-ended:
		assert.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "Follow did not return when its context ended")
	}
	before := calls.Load()
	save(t, other, "certs/late", "1")
	assert.NoError(t, s.Follow(ctx, "certs/", func([]store.Record) {}), "with a context that ended before")
	assert.Equal(t, before, calls.Load())
}

func followBadPrefix(t *testing.T, open func() store.Store) {
	s := open()
	for _, prefix := range []string{"", "/", "certs", "../", "certs//", "a b/", store.Locks + "/"} {
		err := s.Follow(t.Context(), prefix, func([]store.Record) { assert.Fail(t, "called", prefix) })
		assert.Error(t, err, prefix)
	}
}

package providers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
)

// source is a provider whose snapshots the test publishes.
type source struct {
	providers.TroubleBook
	name      string
	snapshots chan providers.Snapshot // unbuffered: a send returns when the one before has been published
	end       chan error              // what Run returns before its ctx ends
	ended     atomic.Bool
}

func newSource(name string) *source {
	return &source{name: name, snapshots: make(chan providers.Snapshot), end: make(chan error, 1)}
}

func (s *source) Name() string { return s.name }

func (s *source) Run(ctx context.Context, publish func(providers.Snapshot)) error {
	defer s.ended.Store(true)
	for {
		select {
		case snapshot := <-s.snapshots:
			publish(snapshot)
		case err := <-s.end:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *source) publish(ids ...string) {
	var snapshot providers.Snapshot
	for _, id := range ids {
		snapshot.Instances = append(snapshot.Instances, providers.Instance{ID: id})
	}
	s.snapshots <- snapshot
}

// merged is a Merge under way, with the ids of the instances of each apply.
type merged struct {
	applied chan []string
	result  chan error
	stop    context.CancelFunc
}

func merge(t *testing.T, patience time.Duration, from ...providers.Provider) merged {
	ctx, stop := context.WithCancel(t.Context())
	m := merged{applied: make(chan []string, 100), result: make(chan error, 1), stop: stop}
	go func() {
		m.result <- providers.Merge(ctx, from, patience, func(instances []providers.Instance) { m.applied <- ids(instances) })
	}()
	return m
}

func ids(instances []providers.Instance) []string {
	ids := []string{}
	for _, instance := range instances {
		ids = append(ids, instance.ID)
	}
	return ids
}

// next gives what was applied once nothing moves any more, nil where nothing was. It is for use in a synctest bubble.
func (m merged) next(t *testing.T) []string {
	t.Helper()
	synctest.Wait()
	select {
	case ids := <-m.applied:
		return ids
	default:
		return nil
	}
}

func (m merged) end(t *testing.T) {
	t.Helper()
	m.stop()
	require.NoError(t, <-m.result)
	require.Empty(t, m.applied)
}

func TestMerge_AppliesTheUnionInTheOrderOfTheProviders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSource("a"), newSource("b")
		m := merge(t, time.Minute, a, b)
		b.publish("b2", "b1")
		assert.Nil(t, m.next(t), "a has not published yet")
		a.publish("a1")
		assert.Equal(t, []string{"a1", "b2", "b1"}, m.next(t))
		b.publish("b3")
		assert.Equal(t, []string{"a1", "b3"}, m.next(t))
		a.publish()
		assert.Equal(t, []string{"b3"}, m.next(t))
		b.publish()
		assert.Equal(t, []string{}, m.next(t), "all gone is a change too")
		<-time.After(time.Hour)
		assert.Nil(t, m.next(t), "the end of patience is no change")
		m.end(t)
	})
}

func TestMerge_AppliesTheEmptySnapshotOfAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newSource("a")
		m := merge(t, time.Minute, a)
		a.publish()
		assert.Equal(t, []string{}, m.next(t))
		m.end(t)
	})
}

func TestMerge_GoesOnWithoutASlowProviderWhenPatienceIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSource("a"), newSource("b")
		m := merge(t, 5*time.Second, a, b)
		a.publish("a1")
		<-time.After(5*time.Second - 1)
		assert.Nil(t, m.next(t))
		<-time.After(1)
		assert.Equal(t, []string{"a1"}, m.next(t))
		a.publish("a2")
		assert.Equal(t, []string{"a2"}, m.next(t))
		b.publish("b1")
		assert.Equal(t, []string{"a2", "b1"}, m.next(t))
		m.end(t)
	})
}

func TestMerge_AppliesNothingBeforeAnyProviderHasPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSource("a"), newSource("b")
		m := merge(t, 0, a, b)
		<-time.After(time.Hour)
		assert.Nil(t, m.next(t))
		b.publish("b1")
		assert.Equal(t, []string{"b1"}, m.next(t))
		m.end(t)
	})
}

func TestMerge_AppliesOnlyTheLatestOfWhatWasPublishedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSource("a"), newSource("b")
		applied := make(chan []string)
		result := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		var applying atomic.Int32
		go func() {
			result <- providers.Merge(ctx, []providers.Provider{a, b}, 0, func(instances []providers.Instance) {
				assert.EqualValues(t, 1, applying.Add(1), "apply is called twice at once")
				applied <- ids(instances)
				applying.Add(-1)
			})
		}()
		a.publish("a0")
		synctest.Wait() // apply has begun and waits
		for i := range 100 {
			a.publish(fmt.Sprintf("a%d", i))
			b.publish(fmt.Sprintf("b%d", i))
		}
		synctest.Wait()
		assert.Equal(t, []string{"a0"}, <-applied)
		assert.Equal(t, []string{"a99", "b99"}, <-applied)
		synctest.Wait()
		assert.Zero(t, applying.Load(), "nothing changed, and apply was called")
		stop()
		require.NoError(t, <-result)
	})
}

func TestMerge_EndsAllWithTheFirstError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSource("a"), newSource("b")
		m := merge(t, time.Minute, a, b)
		broken := errors.New("broken")
		b.end <- broken
		err := <-m.result
		assert.ErrorIs(t, err, broken)
		assert.EqualError(t, err, "provider b: broken")
		assert.True(t, a.ended.Load(), "Merge returned before a had")
		assert.Nil(t, m.next(t))
	})
}

func TestMerge_WaitsForProvidersAndApplyWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSource("a"), newSource("b")
		ctx, stop := context.WithCancel(t.Context())
		var applied bool
		go func() {
			a.publish("a1")
			b.publish("b1")
		}()
		err := providers.Merge(ctx, []providers.Provider{a, b}, time.Minute, func([]providers.Instance) {
			stop()
			<-time.After(time.Minute)
			applied = true
		})
		assert.NoError(t, err)
		assert.True(t, applied)
		assert.True(t, a.ended.Load())
		assert.True(t, b.ended.Load())
	})
}

func TestMerge_TakesTheEndOfItsContextForNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := merge(t, time.Minute, failing{context.Canceled})
		synctest.Wait()
		m.end(t)

		broken := errors.New("broken")
		m = merge(t, time.Minute, failing{broken})
		synctest.Wait()
		m.stop()
		assert.ErrorIs(t, <-m.result, broken)
	})
}

// failing is a provider that returns its error when its context ends.
type failing struct{ error }

func (f failing) Name() string { return "failing" }

func (f failing) Trouble() providers.Trouble { return providers.Trouble{} }

func (f failing) Run(ctx context.Context, _ func(providers.Snapshot)) error {
	<-ctx.Done()
	return f.error
}

func TestMerge_KeepsTheLastSnapshotOfAProviderThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSource("a"), newSource("b")
		m := merge(t, time.Minute, a, b)
		a.publish("a1")
		a.end <- nil
		b.publish("b1")
		assert.Equal(t, []string{"a1", "b1"}, m.next(t))
		b.publish("b2")
		assert.Equal(t, []string{"a1", "b2"}, m.next(t))
		m.end(t)
	})
}

func TestMerge_RefusesToRunWithoutProviders(t *testing.T) {
	err := providers.Merge(t.Context(), nil, time.Minute, func([]providers.Instance) {})
	assert.EqualError(t, err, "no provider of services")
}

// No bubble here: real goroutines, for the race detector.
func TestMerge_EndsWithTheLatestOfManyProvidersThatPublishAtOnce(t *testing.T) {
	var from []providers.Provider
	var want []string
	var publishing sync.WaitGroup
	for i := range 8 {
		s := newSource(fmt.Sprint(i))
		from = append(from, s)
		want = append(want, fmt.Sprintf("%d-199", i))
		publishing.Go(func() {
			for n := range 200 {
				s.publish(fmt.Sprintf("%d-%d", i, n))
			}
		})
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var last []string
	var applying atomic.Int32
	err := providers.Merge(ctx, from, time.Minute, func(instances []providers.Instance) {
		assert.EqualValues(t, 1, applying.Add(1))
		defer applying.Add(-1)
		assert.Len(t, instances, len(from))
		if last = ids(instances); assert.ObjectsAreEqual(want, last) {
			stop()
		}
	})
	require.NoError(t, err)
	publishing.Wait()
	assert.Equal(t, want, last)
}

package pipeline_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestCondition_IsWhatItWasMadeOf(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	for _, failures := range []int{0, 1, 5, 65535} {
		for _, until := range []time.Time{{}, now, now.Add(time.Hour), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)} {
			c := pipeline.NewCondition(failures, until)
			assert.Equal(t, failures, c.Failures())
			assert.Equal(t, !until.IsZero(), c.Ejected())
			assert.True(t, until.Equal(c.EjectedUntil()), "%s is not %s", c.EjectedUntil(), until)
			assert.Equal(t, failures == 0 && until.IsZero(), c == 0)
		}
	}
	assert.Equal(t, pipeline.NewCondition(65535, now), pipeline.NewCondition(65536, now))
	assert.Equal(t, pipeline.NewCondition(3, now), pipeline.NewCondition(3, now.Add(time.Millisecond-1)))
}

func TestHealth_ChangesOnlyFromTheConditionInForce(t *testing.T) {
	assert.Zero(t, (*pipeline.Health)(nil).Condition())
	var health pipeline.Health
	assert.Zero(t, health.Condition())
	one := pipeline.NewCondition(1, time.Now())
	assert.True(t, health.Change(0, one))
	assert.Equal(t, one, health.Condition())
	assert.False(t, health.Change(0, pipeline.NewCondition(2, time.Time{})))
	assert.Equal(t, one, health.Condition())

	var won atomic.Int32
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			if health.Change(one, pipeline.NewCondition(n+2, time.Time{})) {
				won.Add(1)
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 1, won.Load())
}

package consul_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// Where the leader goes, writes that are told to be done are done, once, and a lock never has two holders.
func TestStore_LosesNothingWhereTheLeaderChanges(t *testing.T) {
	t.Parallel()
	servers := consultest.Cluster(t, 3, consultest.Options{HCL: quick})
	agent := servers.Join(consultest.Options{HCL: quick})
	o := consul.Options{Prefix: "tricot/", SessionTTL: time.Minute, Timeout: patience / 2, Wait: time.Second}
	s := open(t, agent, o)
	save(t, s, "locked", "")
	save(t, s, "free", "")
	lines := follow(t, s, "certs/")

	// Each writer appends its marks, one at a time: to one record under a lock, or to another by compare-and-set alone.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done, inside atomic.Int32
	var wrote [2]sync.Map // marks whose write succeeded
	var writers sync.WaitGroup
	for writer := range 4 {
		mine := open(t, agent, o)
		writers.Go(func() {
			for turn := 0; ctx.Err() == nil; turn++ {
				held, err := mine.Lock(t.Context(), "a")
				if !assert.NoError(t, err) {
					return
				}
				assert.Equal(t, int32(1), inside.Add(1), "two hold the lock")
				mark := fmt.Sprintf("%d.%d ", writer, turn)
				record, err := mine.Load(t.Context(), "locked")
				assert.NoError(t, err)
				record.Value = append(record.Value[:len(record.Value):len(record.Value)], mark...)
				if _, err = held.Save(t.Context(), record); assert.NoError(t, err) {
					wrote[0].Store(mark, true)
				}
				select {
				case <-held.Lost():
					assert.Fail(t, "the lock was lost")
				default:
				}
				inside.Add(-1)
				assert.NoError(t, held.Unlock(t.Context()))
				done.Add(1)
			}
		})
		writers.Go(func() {
			for turn := 0; ctx.Err() == nil; turn++ {
				record, err := mine.Load(t.Context(), "free")
				if !assert.NoError(t, err) {
					return
				}
				mark := fmt.Sprintf("%d.%d ", writer, turn)
				record.Value = append(record.Value[:len(record.Value):len(record.Value)], mark...)
				switch _, err = mine.Save(t.Context(), record); {
				case err == nil:
					wrote[1].Store(mark, true)
				case !errors.Is(err, store.ErrConflict):
					assert.NoError(t, err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond): // a record that grows for ever is not what is tested
				}
			}
		})
	}
	progress := func() {
		t.Helper()
		before := done.Load()
		eventually(t, func() bool { return done.Load() > before+5 }, "the writers do not get on")
	}
	progress()
	for round, leave := range []func(leader *consultest.Agent) (comeBack func()){
		func(leader *consultest.Agent) func() { leader.Stop(); return leader.Restart },
		func(leader *consultest.Agent) func() { leader.Pause(); return leader.Resume }, // and still takes itself for it
	} {
		comeBack := leave(servers.Leader())
		progress()
		save(t, s, fmt.Sprintf("certs/%d", round), "one")
		comeBack()
		servers.Leader()
	}
	progress()
	cancel()
	writers.Wait()
	told(t, lines, "certs/0=one certs/1=one")

	for at, key := range []string{"locked", "free"} {
		record, err := s.Load(t.Context(), key)
		require.NoError(t, err)
		there := map[string]int{}
		for mark := range strings.FieldsSeq(string(record.Value)) {
			there[mark+" "]++
		}
		succeeded := 0
		wrote[at].Range(func(mark, _ any) bool {
			succeeded++
			assert.Equal(t, 1, there[mark.(string)], "%s: how often the write %q was done", key, mark)
			return true
		})
		if key == "locked" { // no one else was in between, so that each write knows what became of it
			assert.Len(t, there, succeeded)
		}
	}
}

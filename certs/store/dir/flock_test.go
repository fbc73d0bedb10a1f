package dir

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFlock_HasOneHolderThoughEachRemovesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, turns atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for turns.Load() < 2000 {
				file, err := tryFlock(path)
				if !assert.NoError(t, err) {
					return
				}
				if file == nil {
					continue
				}
				if !assert.Equal(t, int32(1), inside.Add(1), "two hold the lock") {
					return
				}
				turns.Add(1)
				inside.Add(-1)
				assert.NoError(t, removeLocked(file, path))
				unflock(file)
			}
		})
	}
	all.Wait()
}

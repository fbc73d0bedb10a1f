package route

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPace_LetsOthersRunOnTheOnlyProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var ran atomic.Bool
	go ran.Store(true)
	// The scheduler may choose this goroutine again, but not each time.
	var p pace
	for range 100 * stretch / heavy {
		if p.step(heavy); ran.Load() {
			break
		}
	}
	assert.True(t, ran.Load())
}

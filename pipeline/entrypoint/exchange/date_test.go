package exchange

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestDate_IsThatOfTheSecond(t *testing.T) {
	var d Date
	now := time.Date(1994, time.November, 6, 9, 49, 37, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{time.Second - 1, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{time.Second, "Sun, 06 Nov 1994 08:49:38 GMT"},
		{0, "Sun, 06 Nov 1994 08:49:37 GMT"}, // a clock may be set back
	} {
		assert.Equal(t, c.want, d.Value(now.Add(c.after)))
		assert.Equal(t, "Date: "+c.want+"\r\n", d.Line(now.Add(c.after)))
	}
}

func TestDate_MayBeUsedByManyAtOnce(t *testing.T) {
	var d Date
	var users sync.WaitGroup
	start := time.Unix(1e9, 0)
	for i := range 8 {
		users.Go(func() {
			for j := range 100 {
				now := start.Add(time.Duration(i+j) * 100 * time.Millisecond)
				assert.Equal(t, now.UTC().Format(http.TimeFormat), d.Value(now))
			}
		})
	}
	users.Wait()
}

func TestDate_AllocatesNothingWithinASecond(t *testing.T) {
	var d Date
	now := time.Unix(1e9, 0)
	d.Line(now)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		d.Line(now)
		d.Value(now)
	}))
}

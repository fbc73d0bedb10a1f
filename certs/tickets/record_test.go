package tickets

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// of makes keys of their times, in hours after noon.
func of(hours ...time.Duration) keys {
	var ks keys
	for _, h := range hours {
		ks = append(ks, newKey(noon.Add(h*time.Hour)))
	}
	return ks
}

// hours is the reverse.
func hours(ks keys) (times []float64) {
	for _, k := range ks {
		times = append(times, k.from.Sub(noon).Hours())
	}
	return times
}

func TestExtended_AddsWhatIsMissing(t *testing.T) {
	const soon = float64(lead) / float64(time.Hour)
	for name, test := range map[string]struct {
		has  keys
		want []float64
	}{
		"nothing":                  {nil, []float64{12, 0}},
		"the next one":             {of(0, -12, -24), []float64{12, 0, -12, -24}},
		"none":                     {of(1, -11, -23), []float64{1, -11, -23}},
		"the end of an old one":    {of(1, -11, -35, -36, -37), []float64{1, -11, -35}},
		"all have ended":           {of(-36, -48), []float64{12, 0}},
		"the next one, for long":   {of(-13, -25), []float64{soon, -13, -25}},
		"a clock that is wrong":    {of(37, 0), []float64{12, 0}},
		"a clock that is all":      {of(3700, 3600), []float64{12, 0}},
		"a clock that is so so":    {of(36, 0), []float64{36, 0}},
		"more than a record takes": {of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1), []float64{12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.has.extended(noon)
			assert.InDeltaSlice(t, test.want, hours(got), 1e-9)
			assert.False(t, got.lack(noon))
		})
	}
}

func TestInForce_BeginsWithTheKeyThatEncrypts(t *testing.T) {
	for name, test := range map[string]struct {
		has  keys
		want []int // by place
	}{
		"none":               {nil, nil},
		"the latest that is": {of(12, 0, -12), []int{1, 2, 0}},
		"one just begun":     {of(0, -12), []int{0, 1}},
		"none has begun":     {of(24, 12, 1), []int{2, 0, 1}},
		"all have":           {of(-12, -24), []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var want [][32]byte
			for _, at := range test.want {
				want = append(want, test.has[at].secret)
			}
			assert.Equal(t, want, test.has.inForce(noon))
		})
	}
}

func TestNewKey_IsAnotherEachTime(t *testing.T) {
	one, other := newKey(noon), newKey(noon)
	assert.NotEqual(t, one.secret, other.secret)
	assert.NotZero(t, one.secret)
}

func TestRecord_IsReadAsItWasWritten(t *testing.T) {
	ks := of(12, 0, -12)
	value, err := ks.encode()
	require.NoError(t, err)
	got, err := decode(value)
	require.NoError(t, err)
	assert.Equal(t, ks, got)
	assert.True(t, strings.HasPrefix(string(value), `{"keys":[{"from":"2030-01-02T00:00:00Z","key":"`), string(value))
}

func FuzzDecode(f *testing.F) {
	value, err := of(12, 0, -12).encode()
	require.NoError(f, err)
	for _, seed := range []string{string(value), "", "{}", `{"keys":[{"from":"2030-01-02T00:00:00Z","key":"AAAA"}]}`, "tricot-sealed v1 "} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		ks, err := decode(value)
		if err != nil {
			var has struct{ Keys []struct{ Key string } }
			if json.Unmarshal(value, &has) == nil {
				for _, k := range has.Keys {
					assert.False(t, len(k.Key) > 16 && strings.Contains(err.Error(), k.Key), "the error quotes a key")
				}
			}
			return
		}
		require.NotEmpty(t, ks)
		for i := range ks[1:] {
			require.False(t, ks[i].from.Before(ks[i+1].from), "not sorted")
		}
		again, err := ks.encode()
		if err != nil { // a year that JSON does not have
			return
		}
		same, err := decode(again)
		require.NoError(t, err)
		require.Equal(t, ks, same)
		renewed := ks.extended(noon)
		require.False(t, renewed.lack(noon))
		value, err = renewed.encode()
		require.NoError(t, err)
		_, err = decode(value)
		require.NoError(t, err)
		require.False(t, bytes.Equal(nil, value))
	})
}

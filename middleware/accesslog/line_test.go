package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slogs gives the line that slog's own handlers make of the same.
func slogs(t *testing.T, inJSON bool, at time.Time, n int64, d time.Duration, s string) string {
	t.Helper()
	var out bytes.Buffer
	var handler slog.Handler = slog.NewTextHandler(&out, nil)
	if inJSON {
		handler = slog.NewJSONHandler(&out, nil)
	}
	record := slog.NewRecord(at, slog.LevelInfo, "request", 0)
	record.AddAttrs(slog.Int64("bytes", n), slog.Duration("duration", d), slog.String("path", s), slog.Bool("aborted", true))
	require.NoError(t, handler.Handle(context.Background(), record))
	return out.String()
}

func ours(inJSON bool, at time.Time, n int64, d time.Duration, s string) string {
	l := line{json: inJSON}
	l.begin(at)
	l.int("bytes", n)
	l.duration("duration", d)
	l.string("path", s)
	l.true("aborted")
	l.end()
	return string(l.buf)
}

func TestLine_IsWhatSlogWrites(t *testing.T) {
	zones := []*time.Location{time.UTC, time.FixedZone("east", 5*3600+1800), time.FixedZone("west", -8*3600)}
	values := []string{"", "/", "/a b", "a=b", `"`, `\`, `\n`, "\x00\x1f\x7f", "\r\n\t\b\f", "é", "é b", "日本", "\u00a0", "\u0085", "\u2028\u2029",
		"\ufffd", "\ufeff", "a\xff", "\xe2\x80", "<a&b>", "{}[],:", "😀", "\u200b", "\U0010ffff"}
	for d := time.Duration(1); d > 0; d *= 7 {
		values = append(values, d.String())
	}
	moment := time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC)
	for i, value := range values {
		for _, nanoseconds := range []time.Duration{0, 1, 999_999, 1_000_000, 120_000_000, 999_999_999} {
			for _, inJSON := range []bool{false, true} {
				at := moment.Add(nanoseconds).In(zones[i%len(zones)])
				d := time.Duration(i) * nanoseconds
				assert.Equal(t, slogs(t, inJSON, at, int64(-i), d, value), ours(inJSON, at, int64(-i), d, value))
			}
		}
	}
	for d := time.Duration(1); d > 0; d *= 3 { // to overflow
		for _, d := range []time.Duration{d - 1, d, d + 1, -d, d / 1000 * 1000} {
			assert.Equal(t, d.String(), string(appendDuration(nil, d)))
		}
	}
}

func FuzzLine_IsWhatSlogWrites(f *testing.F) {
	f.Add(int64(0), int64(1), int64(1500), "/a b\n\"\\\u2028\xff")
	f.Fuzz(func(t *testing.T, at, n, d int64, s string) {
		if len(s) > maxValue {
			return
		}
		moment := time.Unix(0, at).UTC()
		for _, inJSON := range []bool{false, true} {
			got := ours(inJSON, moment, n, time.Duration(d), s)
			require.Equal(t, slogs(t, inJSON, moment, n, time.Duration(d), s), got)
			require.Equal(t, len(got)-1, strings.IndexByte(got, '\n'), "it is one line")
		}
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(ours(true, moment, n, time.Duration(d), s)), &record))
		require.Equal(t, strings.ToValidUTF8(s, "\ufffd") == s, record["path"] == s)
	})
}

func FuzzLine_IsWholeWhereAValueIsCut(f *testing.F) {
	f.Add("é\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" {
			return
		}
		s = strings.Repeat(s, maxValue/len(s)+2)
		for _, inJSON := range []bool{false, true} {
			got := ours(inJSON, time.Unix(0, 0), 0, 0, s)
			require.Equal(t, len(got)-1, strings.IndexByte(got, '\n'))
			require.True(t, utf8.ValidString(got))
			require.Contains(t, got, "…")
			require.Equal(t, inJSON, json.Valid([]byte(got)))
		}
	})
}

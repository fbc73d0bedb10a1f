package servertest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Pattern is content of so many bytes, of which every piece tells where it belongs, so that what is lost, doubled, or
// another's is seen. Each seed gives another one.
func Pattern(seed, size int) string {
	random := make([]byte, 500)
	for i, x := 0, uint32(seed)*2654435761+1; i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	var b strings.Builder
	b.Grow(size + 2*len(random))
	for b.Len() < size {
		b.WriteString(strconv.Itoa(b.Len()))
		b.Write(random)
	}
	return b.String()[:size]
}

// RequireSame compares long contents, and says where they differ.
func RequireSame(t testing.TB, want, have string) {
	t.Helper()
	if want == have {
		return
	}
	at := 0
	for at < min(len(want), len(have)) && want[at] == have[at] {
		at++
	}
	require.FailNow(t, "the content differs", "%d bytes for %d, from %d on", len(have), len(want), at)
}

package exchange

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHasContent_IsFalseForTheStatusesWithout(t *testing.T) {
	for status, want := range map[int]bool{
		http.StatusContinue: false, http.StatusSwitchingProtocols: false, http.StatusEarlyHints: false,
		http.StatusOK: true, http.StatusNoContent: false, http.StatusResetContent: true, http.StatusNotModified: false,
		http.StatusFound: true, http.StatusNotFound: true, http.StatusBadGateway: true, 999: true,
	} {
		assert.Equal(t, want, HasContent(status), status)
	}
}

func TestElements_GivesThoseOfAllLines(t *testing.T) {
	assert.Equal(t, []string{"a", "b c", "d", "E"}, slices.Collect(Elements([]string{" a,\tb c ,,", "", "d", ",E"})))
	assert.Empty(t, slices.Collect(Elements(nil)))
	for element := range Elements([]string{"a,b", "c"}) {
		assert.Equal(t, "a", element)
		break
	}
}

package h2conformance

import (
	"testing"

	"golang.org/x/net/http2"
)

func TestHTTP2_DeviatesInTheProtocolWhereItIsKnownTo(t *testing.T) { runEach(t, deviating()) }

// deviating has what the RFCs ask of the protocol and net/http's server does otherwise, with what happens today, which
// does no harm. A case that is mended goes to the table of its section. The deviations that are about what a request says
// are in [overlooked].
func deviating() []section {
	return []section{
		{"6.5.3 Settings synchronization", []example{
			{
				// The values are to be processed in the order in which they appear, so that the last one holds. net/http takes
				// a parameter that comes twice for an attack and closes the connection. No client is known to send one twice.
				name: "INITIAL_WINDOW_SIZE twice in a frame",
				send: []frame{settingsOf(
					http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100},
					http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1},
				), get(1)},
				want: connectionError(http2.ErrCodeProtocol),
			},
		}},
		{"HPACK 4.2 Maximum table size", []example{
			{
				// A size update has to stand in front of a block. net/http takes one behind it too where its table is empty, and
				// so nothing can be lost.
				name: "a size update at the end of a block, with an empty table",
				send: []frame{headers(1, endStream|endHeaders, basic()+tableSize(1))}, want: answered(1), calls: 1,
			},
		}},
	}
}

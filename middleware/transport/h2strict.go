package transport

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

var errSwitchOverHTTP2 = errors.New("the backend switches protocols, which HTTP/2 has no way to do")

// checkAnswer refuses what net/http passes of a final answer over HTTP/2, and HTTP/1.1 does not: a status that is no
// number of three digits, a length that is none or that is there twice, and a transfer coding (RFC 9113, sections 8.1.1,
// 8.2.2 and 8.3.2).
func checkAnswer(r *http.Response) error {
	if status, _, _ := strings.Cut(r.Status, " "); len(status) != 3 || r.StatusCode < http.StatusOK {
		return fmt.Errorf("read the answer: %q is no status", status)
	}
	if r.Header["Transfer-Encoding"] != nil {
		return errors.New("read the answer: a Transfer-Encoding over HTTP/2")
	}
	if _, err := http1.ContentLength(r.Request.Method, r.StatusCode, 1, r.Header["Content-Length"], nil); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// streamError is why net/http gave up a stream of HTTP/2. Its own type has no name that others may use, but can be taken
// for any that has these fields.
type streamError struct {
	StreamID uint32
	Code     uint32 // RFC 9113, section 7
	Cause    error
}

func (e streamError) Error() string {
	return fmt.Sprintf("stream %d: code %d: %v", e.StreamID, e.Code, e.Cause)
}

// byPeer says whether the backend ended the stream, and not net/http.
func (e streamError) byPeer() bool { return e.Cause != nil && e.Cause.Error() == "received from peer" }

// isMalformed says whether there is no answer because of what the backend said on the request's stream.
func isMalformed(err error) bool {
	var stream streamError
	return errors.As(err, &stream) && !stream.byPeer()
}

// refusedStream is what a backend says of a request that it has not processed (RFC 9113, section 8.7).
const refusedStream = 0x7

// isUnprocessed says whether the backend has told that it has not processed the request: by refusing its stream, or by
// leaving with a last stream before it (RFC 9113, sections 6.8 and 8.7). Of the latter net/http has no error by name.
// Where its words change, less is repeated.
func isUnprocessed(err error) bool {
	var stream streamError
	if errors.As(err, &stream) {
		return stream.byPeer() && stream.Code == refusedStream
	}
	return strings.HasPrefix(err.Error(), "http2: Transport received ") && strings.Contains(err.Error(), "GOAWAY")
}

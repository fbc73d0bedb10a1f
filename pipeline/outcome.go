package pipeline

import (
	"context"
	"net/http"
)

// StatusClientLeft stands for a response that nobody was there for: the client was gone before. It is never sent, it is
// nobody's standard, and it is what the users of proxies know.
const StatusClientLeft = 499

// Outcome is the status that the client got, as far as that is known when the stages are through. Where there was none it
// is [StatusClientLeft] if the client was gone, and 0 if the response was aborted before its head. ctx is the request's,
// and is asked only where there was none: to ask it costs something.
func (s *State) Outcome(ctx context.Context, aborted bool) int {
	switch {
	case s.Status != 0:
		return s.Status
	case ctx.Err() != nil, s.Failure != nil && s.Failure.Status == StatusClientLeft:
		return StatusClientLeft
	case aborted:
		return 0
	}
	return http.StatusOK // what a server sends for a handler that wrote nothing
}

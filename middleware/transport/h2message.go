package transport

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// overHTTP2 has the request answered over HTTP/2, or over HTTP/1.1 where the backend turns out to speak nothing else.
func (x *exchange) overHTTP2(s *shelf) {
	now := time.Now()
	s.use(now)
	attempt := newAttempt(x, s)
	defer attempt.rescue.rethrow()
	defer attempt.release()
	x.state.Sent = now
	ctx := x.r.Context()
	if x.body != nil {
		client := http.NewResponseController(x.w)
		x.body.interrupt = func() { _ = client.SetReadDeadline(time.Unix(1, 0)) }
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		x.intake = &intake{limit: x.limits.progress, end: end}
		defer x.intake.close()
		attempt.intake, x.body.intake = x.intake, x.intake
	}
	response, first, err := x.http2.roundTrip(outgoing(x.r, x.state.Backend, x.body, x.trusted).WithContext(ctx), s, attempt)
	attempt.end()
	attempt.rescue.rethrow()
	switch {
	case errors.Is(err, errChoseHTTP1):
		s.http1.Store(true)
		if x.body != nil {
			x.body.wait = nil
			x.body.keep()
			x.intake.close()
			x.intake = nil
		}
		x.overHTTP1(s, first)
	case err != nil:
		if stalled := x.stalled(); stalled != nil {
			err = stalled // of which the rest is the consequence
		}
		x.fail(attempt.failure(err))
	default:
		defer response.Body.Close()
		if x.intake != nil {
			x.intake.answered(response.Body)
		}
		if err := checkAnswer(response); err != nil {
			attempt.spoil()
			x.fail(attempt.failure(err))
			return
		}
		x.answer(response)
	}
}

// outgoing is the request that a backend gets for r, but for the context. Its target stands in RequestURI.
func outgoing(r *http.Request, backend *pipeline.Backend, body *requestBody, trusted peers) *http.Request {
	header := make(http.Header, len(r.Header)+6)
	for name, values := range r.Header {
		if !isHopByHop(name) {
			header[name] = values
		}
	}
	delete(header, "Content-Length") // as ContentLength below
	if !r.ProtoAtLeast(1, 1) {
		delete(header, "Expect") // RFC 9110, section 10.1.1
	}
	if pipeline.HasToken(r.Header["Te"], "trailers") {
		header["Te"] = []string{"trailers"}
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = nil // or net/http puts its own name in
	}
	setForwarded(header, r, trusted)

	out := &http.Request{
		Method:     r.Method,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     header,
		Host:       r.Host,
		RequestURI: pipeline.Target(r),
	}
	if out.Host == "" {
		out.Host = backend.Address // every request has one
	}
	if body != nil {
		out.Body, out.ContentLength, out.Trailer = body.lend(), r.ContentLength, body.trailers
	}
	return out
}

// answer sends the backend's answer to the client.
func (x *exchange) answer(response *http.Response) {
	x.state.Answered = time.Now()
	removeHopByHop(response.Header)
	if response.StatusCode == http.StatusNoContent {
		delete(response.Header, "Content-Length") // RFC 9110, section 8.6
	}
	header := x.w.Header()
	add(header, response.Header)
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // or the server guesses one
	}
	announced := announce(header, maps.Keys(response.Trailer))
	if len(response.Trailer) > 0 && x.r.ProtoMajor == 1 {
		header.Del("Content-Length") // only a chunked body has room for trailers on HTTP/1.1
	}
	x.closeAfter()
	x.w.WriteHeader(response.StatusCode)

	if hasContent(x.r, response) {
		if err, byClient := x.streamBody(response); err != nil {
			x.interrupted(err, byClient)
		}
		x.sendTrailers(response.Trailer, announced)
	}
	x.linger()
}

func hasContent(r *http.Request, response *http.Response) bool {
	return r.Method != http.MethodHead && response.StatusCode != http.StatusNoContent &&
		response.StatusCode != http.StatusNotModified && response.Body != http.NoBody
}

// streamBody copies the content, and says whose side failed. Where its length is not known, neither is how long it will
// take, and each piece is flushed.
func (x *exchange) streamBody(response *http.Response) (err error, byClient bool) {
	live := response.ContentLength < 0
	if live { // the head may be all that comes for a while
		if err := x.flush(); err != nil {
			return err, true
		}
	}
	buf := x.pools.bulk.Get().(*bulk)
	defer x.pools.bulk.Put(buf)
	from := &pauses{from: response.Body, limit: x.limits.progress, live: live, flush: x.flush}
	for {
		n, err, byClient := from.read(buf[:])
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return err, true
			}
			if live {
				if err := x.flush(); err != nil {
					return err, true
				}
			}
		}
		if errors.Is(err, io.EOF) && !byClient {
			return nil, false
		}
		if err != nil {
			return err, byClient
		}
	}
}

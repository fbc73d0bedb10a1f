package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/tricot-proxy/tricot/pipeline"
)

// failureOf says what it means that a backend gave no answer. reached says that something of the request may have been
// sent, responded that something of an answer has arrived, held that the body is still there for another try.
func failureOf(err error, r *http.Request, body *requestBody, reached, responded, held bool) *pipeline.Failure {
	// First, for a server ends the context as well when it cannot read on.
	if cause := body.failure(); cause != nil {
		return &pipeline.Failure{Err: cause, Status: bodyStatus(cause, r)}
	}
	ended := clientEnded(r, body)
	if errors.Is(ended, context.Canceled) {
		return &pipeline.Failure{Err: err, Status: pipeline.StatusClientLeft}
	}
	if ended != nil { // its time is up, for every backend
		return &pipeline.Failure{Err: fmt.Errorf("%w: %w", ended, err), Status: http.StatusGatewayTimeout}
	}
	failure := &pipeline.Failure{Err: err, Status: http.StatusBadGateway}
	if isTimeout(err) {
		failure.Status = http.StatusGatewayTimeout
	}
	switch {
	case !reached:
		failure.Repeatable, failure.Unsent = held || !body.touched(), true
	case !responded: // an upload may just be beginning to read
		failure.Repeatable = (held || body == nil) && idempotent(r.Method)
	}
	return failure
}

// clientEnded is why the request's context has ended, unless we did that ourselves: over HTTP/1.1 the server takes a body
// of which the reading was stopped for a client that left.
func clientEnded(r *http.Request, body *requestBody) error {
	if body != nil && body.stopped.Load() {
		return nil
	}
	return r.Context().Err()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// bodyStatus says whose fault it is that the request's body could not be read to its end. It is never the backend's.
func bodyStatus(err error, r *http.Request) int {
	var tooLarge *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	case r.ProtoMajor > 1, errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return pipeline.StatusClientLeft
	}
	return http.StatusBadRequest // such as a chunk without a length
}

// idempotent follows RFC 9110, section 9.2.2.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// explanation is all that a client learns of a failure. Addresses and causes are for the log.
func explanation(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "400 bad request: the request is malformed"
	case http.StatusRequestTimeout:
		return "408 request timeout: the body did not arrive in time"
	case http.StatusRequestEntityTooLarge:
		return "413 content too large"
	case http.StatusGatewayTimeout:
		return "504 gateway timeout: the backend did not answer in time"
	}
	return "502 bad gateway: the backend gave no valid answer"
}

package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/tricot-proxy/tricot/pipeline"
)

// statusClientLeft is never sent: there is nobody who could read it.
const statusClientLeft = 499

// failure says what an error of the round trip means. The attempt must have ended.
func (a *attempt) failure(err error) *pipeline.Failure {
	// First, for a server ends the context as well when it cannot read on.
	if cause := a.body.failure(); cause != nil {
		return &pipeline.Failure{Err: cause, Status: bodyStatus(cause, a.r)}
	}
	if errors.Is(a.r.Context().Err(), context.Canceled) {
		return &pipeline.Failure{Err: err, Status: statusClientLeft}
	}
	failure := &pipeline.Failure{Err: err, Status: http.StatusBadGateway}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		failure.Status = http.StatusGatewayTimeout
	}
	switch {
	case a.r.Context().Err() != nil: // its time is up, for every backend
	case !a.connected.Load():
		failure.Repeatable = !a.body.touched()
	case !a.responded.Load():
		failure.Repeatable = a.body == nil && idempotent(a.r.Method)
	}
	return failure
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
		return statusClientLeft
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
		return "400 bad request: the body is malformed"
	case http.StatusRequestTimeout:
		return "408 request timeout: the body did not arrive in time"
	case http.StatusRequestEntityTooLarge:
		return "413 content too large"
	case http.StatusGatewayTimeout:
		return "504 gateway timeout: the backend did not answer in time"
	}
	return "502 bad gateway: the backend gave no valid answer"
}

package h2

import (
	"errors"
	"fmt"
)

// errorCode says why a stream or a connection ends (RFC 9113, section 7).
type errorCode uint32

const (
	noError          errorCode = 0x0
	protocolError    errorCode = 0x1
	internalError    errorCode = 0x2
	flowControlError errorCode = 0x3
	streamClosed     errorCode = 0x5
	frameSizeError   errorCode = 0x6
	refusedStream    errorCode = 0x7
	compressionError errorCode = 0x9
	enhanceYourCalm  errorCode = 0xb
)

// A connectionError ends the connection (section 5.4.1).
type connectionError struct {
	code   errorCode
	reason string
}

func (e *connectionError) Error() string {
	return fmt.Sprintf("connection error %#x: %s", uint32(e.code), e.reason)
}

func failure(code errorCode, reason string) error { return &connectionError{code, reason} }

// What a handler gets where its stream ends before it should.
var (
	errLeft    = errors.New("the client closed the connection")
	errReset   = errors.New("the client reset the stream")
	errOver    = errors.New("the handler of this response has returned")
	errMessage = errors.New("the client broke the rules of HTTP/2 on the stream")
)

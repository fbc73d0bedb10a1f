package h2conformance

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/http2"
)

type verdict int

const (
	open verdict = iota
	right
	wrong
)

// expectation judges what a server sends, frame by frame; nil stands for the connection's end. Each judge is for one use.
type expectation struct {
	what  string
	judge func() func(http2.Frame) verdict
}

// each makes an expectation that needs no memory of the frames before.
func each(what string, judge func(http2.Frame) verdict) expectation {
	return expectation{what, func() func(http2.Frame) verdict { return judge }}
}

// either is right as soon as one of the two is.
func either(a, b expectation) expectation {
	return expectation{a.what + ", or " + b.what, func() func(http2.Frame) verdict {
		judgeA, judgeB := a.judge(), b.judge()
		verdictA, verdictB := open, open
		return func(f http2.Frame) verdict {
			if verdictA == open {
				verdictA = judgeA(f)
			}
			if verdictB == open {
				verdictB = judgeB(f)
			}
			if verdictA == wrong && verdictB == wrong {
				return wrong
			}
			if verdictA == right || verdictB == right {
				return right
			}
			return open
		}
	}}
}

// connectionError is a connection error, section 5.4.1, of one of the codes. The GOAWAY is a SHOULD: a connection that is
// closed without one is right too.
func connectionError(codes ...http2.ErrCode) expectation {
	return each("GOAWAY "+list(codes)+" or the connection closed", func(f http2.Frame) verdict {
		switch f := f.(type) {
		case nil:
			return right
		case *http2.GoAwayFrame:
			return ofCode(f.ErrCode, codes)
		}
		return open
	})
}

// streamError is a stream error, section 5.4.2, of one of the codes. A server may take each for a connection error
// (section 5.4).
func streamError(stream uint32, codes ...http2.ErrCode) expectation {
	connection := connectionError(codes...)
	return either(connection, each(fmt.Sprintf("RST_STREAM %s on %d", list(codes), stream), func(f http2.Frame) verdict {
		if f, ok := f.(*http2.RSTStreamFrame); ok && f.StreamID == stream {
			return ofCode(f.ErrCode, codes)
		}
		return open
	}))
}

// malformed is what a malformed request gets: a stream error PROTOCOL_ERROR, before which a server may send an answer
// (section 8.1.1), which then is a 400.
func malformed(stream uint32) expectation {
	return either(streamError(stream, http2.ErrCodeProtocol), ended(stream, "400"))
}

// answered is the handler's answer, whole.
func answered(stream uint32) expectation { return ended(stream, "200") }

// ended is an answer with the status, and its end.
func ended(stream uint32, status string) expectation {
	what := fmt.Sprintf("a whole %s on %d", status, stream)
	return expectation{what, func() func(http2.Frame) verdict {
		begun := false
		return func(f http2.Frame) verdict {
			switch f := f.(type) {
			case nil:
				return wrong
			case *http2.GoAwayFrame:
				if f.ErrCode != http2.ErrCodeNo {
					return wrong
				}
			case *http2.RSTStreamFrame:
				if f.StreamID == stream {
					return wrong
				}
			case *http2.MetaHeadersFrame:
				if f.StreamID != stream {
					return open
				}
				if !begun && f.PseudoValue("status") != status {
					return wrong
				}
				begun = true
				if f.StreamEnded() {
					return right
				}
			case *http2.DataFrame:
				if begun && f.StreamID == stream && f.StreamEnded() {
					return right
				}
			}
			return open
		}
	}}
}

// dataOf is a DATA frame of this length, the next one that comes.
func dataOf(stream uint32, length int) expectation {
	return each(fmt.Sprintf("DATA of %d bytes on %d", length, stream), func(f http2.Frame) verdict {
		switch f := f.(type) {
		case *http2.DataFrame:
			if f.StreamID == stream && len(f.Data()) == length {
				return right
			}
			return wrong
		case *http2.GoAwayFrame, *http2.RSTStreamFrame:
			return wrong
		}
		return open
	})
}

// pong is the answer to a PING of these eight bytes, the next one that comes.
func pong(payload string) expectation {
	return each("PING with ACK", func(f http2.Frame) verdict {
		switch f := f.(type) {
		case *http2.PingFrame:
			if f.IsAck() && string(f.Data[:]) == payload {
				return right
			}
			return wrong
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return wrong
			}
		}
		return open
	})
}

// goAway is a GOAWAY of the code, no less.
func goAway(code http2.ErrCode) expectation {
	return each("GOAWAY "+code.String(), func(f http2.Frame) verdict {
		if f, ok := f.(*http2.GoAwayFrame); ok {
			return ofCode(f.ErrCode, []http2.ErrCode{code})
		}
		return open
	})
}

// closed is the connection's end.
var closed = each("the connection closed", func(f http2.Frame) verdict {
	if f == nil {
		return right
	}
	return open
})

// serverPreface is a SETTINGS frame in front of all others, section 3.4.
var serverPreface = each("SETTINGS as the first frame", func(f http2.Frame) verdict {
	if f, ok := f.(*http2.SettingsFrame); ok && !f.IsAck() {
		return right
	}
	return wrong
})

var settingsAck = each("SETTINGS with ACK", func(f http2.Frame) verdict {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return right
		}
	case *http2.GoAwayFrame:
		return wrong
	}
	return open
})

func ofCode(code http2.ErrCode, codes []http2.ErrCode) verdict {
	if slices.Contains(codes, code) {
		return right
	}
	return wrong
}

func list(codes []http2.ErrCode) string {
	names := make([]string, len(codes))
	for i, code := range codes {
		names[i] = code.String()
	}
	return strings.Join(names, " or ")
}

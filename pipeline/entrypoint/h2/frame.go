package h2

import "encoding/binary"

// frameType says what a frame is (RFC 9113, section 6).
type frameType uint8

const (
	dataFrame frameType = iota
	headersFrame
	priorityFrame
	resetFrame
	settingsFrame
	pushPromiseFrame
	pingFrame
	goAwayFrame
	windowUpdateFrame
	continuationFrame
)

// The flags of frames.
const (
	flagAck         = 0x1
	flagEndStream   = 0x1
	flagEndHeaders  = 0x4
	flagPadded      = 0x8
	flagHasPriority = 0x20
)

const (
	frameHeaderSize = 9
	// maxFrame is the longest payload that every peer takes, and the longest that is taken here
	// (SETTINGS_MAX_FRAME_SIZE, section 6.5.2).
	maxFrame = 16 << 10 // bytes
	// maxRecord is the content of a TLS record at its longest (RFC 8446, section 5.1).
	maxRecord = 16 << 10 // bytes

	highestStream      = 1<<31 - 1 // an identifier that is above all others
	largestWindow      = 1<<31 - 1 // bytes
	defaultWindow      = 1<<16 - 1 // bytes, until something else is said
	defaultHeaderTable = 4 << 10   // bytes
)

// frameHeader is what stands before each payload (section 4.1).
type frameHeader struct {
	length int // of the payload
	kind   frameType
	flags  uint8
	stream uint32
}

// parseFrameHeader reads the nine bytes of one.
func parseFrameHeader(b []byte) frameHeader {
	_ = b[frameHeaderSize-1]
	return frameHeader{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   frameType(b[3]),
		flags:  b[4],
		stream: binary.BigEndian.Uint32(b[5:]) &^ (1 << 31), // less the reserved bit
	}
}

func (h frameHeader) has(flag uint8) bool { return h.flags&flag != 0 }

func appendFrameHeader(to []byte, length int, kind frameType, flags uint8, stream uint32) []byte {
	return append(to, byte(length>>16), byte(length>>8), byte(length), byte(kind), flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendReset(to []byte, stream uint32, code errorCode) []byte {
	to = appendFrameHeader(to, 4, resetFrame, 0, stream)
	return binary.BigEndian.AppendUint32(to, uint32(code))
}

func appendWindowUpdate(to []byte, stream, increment uint32) []byte {
	to = appendFrameHeader(to, 4, windowUpdateFrame, 0, stream)
	return binary.BigEndian.AppendUint32(to, increment)
}

func appendGoAway(to []byte, lastStream uint32, code errorCode) []byte {
	to = appendFrameHeader(to, 8, goAwayFrame, 0, 0)
	to = binary.BigEndian.AppendUint32(to, lastStream)
	return binary.BigEndian.AppendUint32(to, uint32(code))
}

func appendPing(to []byte, flags uint8, payload []byte) []byte {
	return append(appendFrameHeader(to, len(payload), pingFrame, flags, 0), payload...)
}

package h2

import "encoding/binary"

// The parameters of SETTINGS (RFC 9113, section 6.5.2).
const (
	settingHeaderTableSize      = 0x1
	settingEnablePush           = 0x2
	settingMaxConcurrentStreams = 0x3
	settingInitialWindowSize    = 0x4
	settingMaxFrameSize         = 0x5
	settingMaxHeaderListSize    = 0x6
	settingNoPriorities         = 0x9 // RFC 9218, section 2.1: those of RFC 7540 say nothing here
)

const settingSize = 6 // bytes

// appendSettings writes ours.
func appendSettings(to []byte, maxHeaderBytes int) []byte {
	settings := [...]struct {
		id    uint16
		value uint32
	}{
		{settingMaxConcurrentStreams, maxStreams},
		{settingInitialWindowSize, uploadPerStream},
		{settingMaxHeaderListSize, uint32(maxHeaderBytes)},
		{settingNoPriorities, 1},
	}
	to = appendFrameHeader(to, len(settings)*settingSize, settingsFrame, 0, 0)
	for _, s := range settings {
		to = binary.BigEndian.AppendUint16(to, s.id)
		to = binary.BigEndian.AppendUint32(to, s.value)
	}
	return to
}

// takeSettings does as the client's say, one after the other, and tells it so.
func (c *conn) takeSettings(h frameHeader, payload []byte) error {
	switch {
	case h.stream != 0:
		return failure(protocolError, "SETTINGS on a stream")
	case h.has(flagAck) && h.length != 0:
		return failure(frameSizeError, "SETTINGS that say yes and more")
	case h.has(flagAck):
		return nil
	case h.length%settingSize != 0:
		return failure(frameSizeError, "SETTINGS with a parameter that is cut off")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	window := c.streamWindow // the last one that is said
	for ; len(payload) > 0; payload = payload[settingSize:] {
		value := binary.BigEndian.Uint32(payload[2:])
		switch binary.BigEndian.Uint16(payload) {
		case settingHeaderTableSize:
			c.encoder.SetMaxTableSize(value)
		case settingEnablePush:
			if value > 1 {
				return failure(protocolError, "SETTINGS_ENABLE_PUSH that is neither 0 nor 1")
			}
		case settingInitialWindowSize:
			if window = int64(value); window > largestWindow {
				return failure(flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE beyond 2^31-1")
			}
		case settingMaxFrameSize:
			if value < maxFrame || value > 1<<24-1 {
				return failure(protocolError, "SETTINGS_MAX_FRAME_SIZE that is out of range")
			}
		} // others are about what is not sent here
	}
	if err := c.setStreamWindow(window); err != nil {
		return err
	}
	out := c.outbox.frames()
	*out = appendFrameHeader(*out, 0, settingsFrame, flagAck, 0)
	return c.outbox.reply()
}

// setStreamWindow changes the windows of all streams, those that are open too (section 6.9.2).
func (c *conn) setStreamWindow(size int64) error {
	change := size - c.streamWindow
	if change == 0 {
		return nil
	}
	c.streamWindow = size
	for _, s := range c.streams {
		if s.sendWindow += change; s.sendWindow > largestWindow {
			return failure(flowControlError, "a window beyond 2^31-1")
		}
		s.wake.Broadcast()
	}
	return nil
}

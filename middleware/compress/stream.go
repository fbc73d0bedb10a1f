package compress

import (
	"bufio"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The settings of the encoders weigh a proxy's time against the client's. Measured with 64 KiB of HTML (see
// BenchmarkCompress), against gzip; the memory is what one stream holds, and there are as many streams as responses
// are being compressed at the same time (see BenchmarkStream_Memory).
//
//	gzip, level 1                    time 1           32 % of the size   0.8 MiB
//	zstd, fastest, window 256 KiB    time 1.1 to 1.5  31 %               1.0 MiB
//	br, quality 2, window 128 KiB    time 3.3 to 4.5  29 %               1.1 MiB
//
// gzip's level 1 is what nginx has by default. br at quality 3 and 4 takes 1.2 and 1.8 times as long for 1 and 5 % off.
// The windows bound the memory: with those that its library chooses by itself, a stream of br takes 16 MiB. A client
// has to hold the window as well; RFC 9659, section 3, lets it refuse more than 8 MiB of zstd.
const (
	gzipLevel    = gzip.BestSpeed
	zstdLevel    = zstd.SpeedFastest
	zstdWindow   = 256 << 10 // bytes
	brotliLevel  = 2
	brotliWindow = 17 // the power of two, in bytes
)

// outputBuffer is in bytes. The encoders write in pieces as small as 240 bytes; each would cost the connection a chunk
// or a frame.
const outputBuffer = 32 << 10

// encoder is what the three libraries have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

func newEncoder(c coding) encoder {
	switch c {
	case brotliCoding:
		return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: brotliLevel, LGWin: brotliWindow})
	case zstdCoding:
		e, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstdLevel),
			zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderConcurrency(1), // in the caller's goroutine
			zstd.WithEncoderCRC(false),     // TLS and the frame's end tell already
			zstd.WithZeroFrames(true),      // an empty stream is a frame too
		)
		if err != nil {
			panic(err) // only for options out of range, and all of them are constants
		}
		return e
	default:
		e, err := gzip.NewWriterLevel(nil, gzipLevel)
		if err != nil {
			panic(err) // as above
		}
		return e
	}
}

// streams keeps the streams that have ended, by coding, for the next response. It is ready as it is, and may be used by
// many goroutines at once.
type streams struct {
	pools [identity]sync.Pool
}

// open starts a stream that writes to dst.
func (s *streams) open(c coding, dst io.Writer) *stream {
	open, _ := s.pools[c].Get().(*stream)
	if open == nil {
		open = &stream{coding: c, encoder: newEncoder(c), out: bufio.NewWriterSize(nil, outputBuffer)}
	}
	open.out.Reset(dst)
	open.encoder.Reset(open.out)
	return open
}

// end writes the stream's end, and keeps the stream for another response where that went well. It is not to be used
// any more.
func (s *streams) end(done *stream) error {
	if err := done.encoder.Close(); err != nil {
		return err
	}
	if err := done.out.Flush(); err != nil {
		return err
	}
	done.out.Reset(nil) // the encoder knows only out, and so nothing of the response any more
	done.unflushed = false
	s.pools[done.coding].Put(done)
	return nil
}

// A stream compresses one response at a time. After an error it is of no use.
type stream struct {
	coding  coding
	encoder encoder
	out     *bufio.Writer
	// unflushed says that the encoder may hold something back. A flush of nothing would put an empty block into the
	// stream.
	unflushed bool
}

func (s *stream) Write(p []byte) (int, error) {
	s.unflushed = true
	return s.encoder.Write(p)
}

// Flush writes all that is needed to decode what was written up to here.
func (s *stream) Flush() error {
	if !s.unflushed {
		return nil
	}
	s.unflushed = false
	if err := s.encoder.Flush(); err != nil {
		return err
	}
	return s.out.Flush()
}

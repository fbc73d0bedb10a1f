package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
)

// period is a prime: no block of a buffer's size can be lost, repeated or moved without that the content differs.
const period = 1<<20 - 3

// pattern is what the content repeats, twice over, so that a block of up to period bytes can start anywhere.
var pattern = func() []byte {
	once := make([]byte, period)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range once {
		once[i] = byte(random.Uint32())
	}
	return append(once, once...)
}()

// content reads the pattern without end.
type content struct{ at int }

func (c *content) Read(p []byte) (int, error) {
	n := copy(p, pattern[c.at:c.at+period])
	c.at = (c.at + n) % period
	return n, nil
}

// check is a writer that refuses everything but the pattern.
type check struct{ at int }

func (c *check) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), period)
		if !bytes.Equal(rest[:n], pattern[c.at:c.at+n]) {
			return 0, fmt.Errorf("wrong bytes, at %d of the pattern", c.at)
		}
		c.at = (c.at + n) % period
		rest = rest[n:]
	}
	return len(p), nil
}

// transfer copies in large pieces.
func transfer(to io.Writer, from io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 256<<10))
}

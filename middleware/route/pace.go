package route

import "runtime"

// A pace lets other goroutines run every now and then in the middle of long work, of which a compiler has some: where all
// processors are busy, the scheduler would let requests wait for ten milliseconds and more before it takes one away from it.
type pace struct{ worked int }

// The costs of steps, in tens of nanoseconds or so.
const (
	light = 1  // a comparison
	fair  = 10 // a few places in memory
	heavy = 100

	// stretch is how much is done without a break: about a millisecond. Each break may last as long as other goroutines let
	// it, so that where requests saturate the machine, many of them would hold up a table for long.
	stretch = 50_000
)

// step says that so much was done.
func (p *pace) step(cost int) {
	if p.worked += cost; p.worked >= stretch {
		p.worked = 0
		runtime.Gosched()
	}
}

package balance

import (
	"sync"
	"sync/atomic"
	"time"
)

// What may be repeated, of the requests that the stage has got in the last budgetWindow seconds: budgetShare of each
// hundred, and budgetFloor for each second besides, so that a quiet Tricot can repeat too.
const (
	budgetWindow = 10
	budgetShare  = 10
	budgetFloor  = 3
)

// A budget bounds by how much repeating multiplies requests while many of them fail: to 1.1 times what clients send. It
// is the stage's, and not a backend's or a route's, since what is repeated goes to others than those that failed.
type budget struct {
	earned counter // every request writes it
	_      [64]byte

	start time.Time
	mutex sync.Mutex // makes looking and taking one
	spent counter
}

func newBudget(start time.Time) *budget { return &budget{start: start} }

// earn counts a request. It reads no clock and takes no lock.
func (b *budget) earn(received time.Time) { b.earned.add(b.second(received)) }

// spend says whether one more request may be repeated now, and counts it as such.
func (b *budget) spend(now time.Time) bool {
	second := b.second(now)
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.spent.sum(second) >= b.earned.sum(second)*budgetShare/100+budgetFloor*budgetWindow {
		return false
	}
	b.spent.add(second)
	return true
}

// second counts from the start, by a clock that is never set.
func (b *budget) second(t time.Time) uint32 { return uint32(max(0, t.Sub(b.start)/time.Second)) }

// A counter counts events by the second. Each slot holds a second in its upper half and a count in its lower one; the
// next second that falls on the slot starts it again.
type counter [16]atomic.Uint64

func (c *counter) add(second uint32) {
	slot := &c[second%uint32(len(c))]
	for {
		old := slot.Load()
		switch was := uint32(old >> 32); {
		case was == second:
			slot.Add(1) // if the slot has just been started again, a second is off by one event
			return
		case was > second: // too late to count for anything
			return
		case slot.CompareAndSwap(old, uint64(second)<<32|1):
			return
		}
	}
}

// sum gives the events of the window that ends with a second.
func (c *counter) sum(second uint32) uint64 {
	var sum uint64
	for i := range c {
		slot := c[i].Load()
		if was := uint32(slot >> 32); was <= second && second-was < budgetWindow {
			sum += slot & (1<<32 - 1)
		}
	}
	return sum
}

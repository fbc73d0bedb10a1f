// Package providers says what a source of service instances is, and puts several together.
//
// A [Provider] publishes whole snapshots: each one replaces what the same provider published before, so that nothing is
// ever half-applied and nothing has to be undone.
package providers

import (
	"context"
	"sync/atomic"
	"time"
)

// An Instance is one running copy of a service.
type Instance struct {
	// ID names the copy, Service what it is a copy of. An ID is unique within its provider.
	ID, Service string
	// Address is a host name or an IP address, an IPv6 one without brackets.
	Address string
	Port    int
	// Node and Site say where it runs; empty where that is not known.
	Node, Site string
	Tags       []string
	// Healthy says that it can serve now. One that cannot keeps its rules and its certificates and gets no request.
	Healthy bool
}

// A Snapshot is all that a provider knows at one moment. Whoever publishes it never changes it afterwards.
type Snapshot struct {
	Instances []Instance
}

// A Provider is a source of service instances.
type Provider interface {
	// Name is what settings and logs call it, such as "consul".
	Name() string
	// Run publishes a snapshot as soon as it has one, and another after each change, until ctx ends; then it returns
	// nil. It never calls publish twice at once. Where the source goes away or turns wrong, Run logs that once, publishes
	// nothing, and goes on; the last snapshot stays in force. It returns an error only for what no waiting can mend.
	Run(ctx context.Context, publish func(Snapshot)) error
	// Trouble is what keeps the provider from knowing its source now; the zero value where nothing does. It may be called
	// by any number of goroutines at any time.
	Trouble() Trouble
}

// Trouble is why a source cannot be read.
type Trouble struct {
	// Since is when it began; what is in force may be as old as that. Zero: there is none.
	Since  time.Time
	Reason string
}

// TroubleBook is where a provider notes its trouble, for others to read. The zero value is ready, with none in it.
type TroubleBook struct{ current atomic.Pointer[Trouble] }

// Note puts trouble in place of what was noted before; the zero value says that it is over.
func (b *TroubleBook) Note(t Trouble) { b.current.Store(&t) }

// Trouble gives what was noted last.
func (b *TroubleBook) Trouble() Trouble {
	if t := b.current.Load(); t != nil {
		return *t
	}
	return Trouble{}
}

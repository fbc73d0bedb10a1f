package metrics

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// series is what tells the counts of requests for a host apart.
type series struct {
	method method
	code   code
}

// method is a class of methods: each of the usual ones, and all others.
type method uint8

const (
	other method = iota
	get
	head
	post
	put
	patch
	del
	options
)

func methodOf(name string) method {
	switch name {
	case http.MethodGet:
		return get
	case http.MethodHead:
		return head
	case http.MethodPost:
		return post
	case http.MethodPut:
		return put
	case http.MethodPatch:
		return patch
	case http.MethodDelete:
		return del
	case http.MethodOptions:
		return options
	}
	return other
}

func (m method) String() string {
	return [...]string{"other", http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions}[m]
}

// code is a status, 0 for all that are none.
type code uint16

func codeOf(status int) code {
	if status < 100 || status > 599 {
		return 0
	}
	return code(status)
}

func (c code) String() string {
	if c == 0 {
		return "other"
	}
	return strconv.Itoa(int(c))
}

// counters are one for each series that has come up, found without a lock.
type counters struct {
	found atomic.Pointer[map[series]*atomic.Uint64] // copied for a new series, of which there are a few
	mu    sync.Mutex                                // held for that
}

func (c *counters) all() map[series]*atomic.Uint64 {
	if found := c.found.Load(); found != nil {
		return *found
	}
	return nil
}

func (c *counters) of(s series) *atomic.Uint64 {
	if counter, ok := c.all()[s]; ok {
		return counter
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if counter, ok := c.all()[s]; ok {
		return counter
	}
	larger := make(map[series]*atomic.Uint64, len(c.all())+1)
	maps.Copy(larger, c.all())
	counter := new(atomic.Uint64)
	larger[s] = counter
	c.found.Store(&larger)
	return counter
}

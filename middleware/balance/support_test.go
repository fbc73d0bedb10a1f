package balance

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// A clock goes on when a test says so.
type clock struct {
	start time.Time
	ahead atomic.Int64
}

func newClock() *clock { return &clock{start: time.Now()} }

func (c *clock) now() time.Time          { return c.start.Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// What a backend may do with a request, as the transport stage tells of it.
var outcomes = map[string]func(w http.ResponseWriter, state *pipeline.State){
	"answers": func(http.ResponseWriter, *pipeline.State) {},
	"answers 500": func(w http.ResponseWriter, _ *pipeline.State) {
		w.WriteHeader(http.StatusInternalServerError)
	},
	"refuses": func(_ http.ResponseWriter, state *pipeline.State) {
		fails(state, syscall.ECONNREFUSED, http.StatusBadGateway, true)
	},
	"cannot be connected to in time": func(_ http.ResponseWriter, state *pipeline.State) {
		fails(state, os.ErrDeadlineExceeded, http.StatusGatewayTimeout, true)
	},
	"is too slow": func(_ http.ResponseWriter, state *pipeline.State) {
		fails(state, os.ErrDeadlineExceeded, http.StatusGatewayTimeout, false)
	},
	"closes": func(_ http.ResponseWriter, state *pipeline.State) {
		fails(state, errors.New("EOF"), http.StatusBadGateway, false)
	},
	"breaks off": func(w http.ResponseWriter, state *pipeline.State) {
		w.WriteHeader(http.StatusOK)
		fails(state, errors.New("unexpected EOF"), http.StatusBadGateway, false)
		state.Failure.Repeatable = false
		panic(http.ErrAbortHandler)
	},
	"is left by its client": func(_ http.ResponseWriter, state *pipeline.State) {
		fails(state, errors.New("canceled"), 499, false)
		state.Failure.Repeatable = false
		panic(http.ErrAbortHandler)
	},
	"gets a broken request": func(_ http.ResponseWriter, state *pipeline.State) {
		fails(state, errors.New("invalid chunk"), http.StatusBadRequest, false)
		state.Failure.Repeatable = false
	},
	"is not asked for want of files": func(_ http.ResponseWriter, state *pipeline.State) {
		fails(state, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, http.StatusBadGateway, true)
	},
	"is not asked": func(w http.ResponseWriter, state *pipeline.State) {
		state.Answered = time.Time{}
		w.WriteHeader(http.StatusNotImplemented)
	},
	"meets a bug": func(_ http.ResponseWriter, state *pipeline.State) {
		state.Answered = time.Time{}
		panic("a bug")
	},
}

func fails(state *pipeline.State, err error, status int, unsent bool) {
	state.Answered = time.Time{}
	state.Failure = &pipeline.Failure{Err: err, Status: status, Repeatable: true, Unsent: unsent}
}

// A fleet is a balance stage whose backends do what their entry says; those without an entry answer. It stands in for
// the transport stage.
type fleet struct {
	t     testing.TB
	clock *clock
	stage http.Handler
	gate  func(address string) // each request waits here, where it is set

	mutex sync.Mutex
	does  map[string]string
	asked []string // with "!" where nobody else may be asked
}

func newFleet(t testing.TB, options Options, does map[string]string) *fleet {
	f := &fleet{t: t, clock: newClock(), does: does}
	b := newBalancer(options)
	b.now, b.ejector.now = f.clock.now, f.clock.now
	b.ejector.random = func(int64) int64 { return 0 }
	b.budget = newBudget(f.clock.now())
	f.stage = b.wrap(f)
	return f
}

func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := pipeline.StateOf(r)
	state.Failure, state.Answered = nil, f.clock.now()
	address := state.Backend.Address
	f.mutex.Lock()
	does := f.does[address]
	if state.MayRetry {
		f.asked = append(f.asked, address)
	} else {
		f.asked = append(f.asked, address+"!")
	}
	f.mutex.Unlock()
	if f.gate != nil {
		f.gate(address)
	}
	if does == "" {
		does = "answers"
	}
	outcome := outcomes[does]
	require.NotNil(f.t, outcome, does)
	outcome(w, state)
	if failure := state.Failure; failure != nil && !(failure.Repeatable && state.MayRetry) {
		http.Error(w, "from the transport stage", failure.Status)
	}
}

// set has a backend do something else.
func (f *fleet) set(address, does string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.does[address] = does
}

// serve sends a request, and gives the addresses that were asked and what the client got.
func (f *fleet) serve(route *pipeline.Route) ([]string, *httptest.ResponseRecorder) {
	f.asked = nil
	recorder := f.send(route, request())
	return f.asked, recorder
}

func request() *http.Request { return httptest.NewRequest("GET", "http://app.example/a%2Fb", nil) }

func (f *fleet) send(route *pipeline.Route, r *http.Request) *httptest.ResponseRecorder {
	r.RequestURI = r.URL.RequestURI()
	recorder := httptest.NewRecorder()
	state, w, r := pipeline.Enter(recorder, r)
	state.Route, state.Received = route, f.clock.now()
	func() {
		defer func() { _ = recover() }() // as the server does
		f.stage.ServeHTTP(w, r)
	}()
	return recorder
}

// health gives that of a route's backend.
func health(route *pipeline.Route, address string) *pipeline.Health {
	for _, group := range route.Table.(*table).groups {
		for _, tier := range group.Tiers {
			for _, backend := range tier.Backends {
				if backend.Address == address {
					return backend.Health
				}
			}
		}
	}
	panic(fmt.Sprint("no backend ", address))
}

// eject has a backend fail until it is ejected.
func (f *fleet) eject(route *pipeline.Route, address string) {
	was := f.does[address]
	f.set(address, "refuses")
	for i := 0; !health(route, address).Condition().Ejected(); i++ {
		require.Less(f.t, i, 1000)
		f.serve(route)
	}
	f.set(address, was)
}

// lines is a log that many write to.
type lines struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(part string) uint64 {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return uint64(strings.Count(l.text.String(), part))
}

package transport

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync/atomic"
)

var errPanicked = errors.New("a stage before this one panicked")

// A rescue is for what runs on other goroutines than the handler's, net/http's or an upload's: a panic there would end the
// process, since nobody recovers it. It is kept for the handler's goroutine, where it ends the request. The zero value is ready; on a nil one a panic
// becomes an error only.
type rescue struct{ value atomic.Pointer[any] }

// catch is to be deferred. Where there is a panic, the error becomes that.
func (r *rescue) catch(err *error) {
	value := recover()
	if value == nil {
		return
	}
	*err = errPanicked
	if r == nil {
		return
	}
	if value != http.ErrAbortHandler {
		value = fmt.Sprintf("%v\n\n%s", value, debug.Stack()) // of the goroutine that it comes from
	}
	r.value.CompareAndSwap(nil, &value)
}

// rethrow panics where catch has caught something.
func (r *rescue) rethrow() {
	if value := r.value.Swap(nil); value != nil {
		panic(*value)
	}
}

package exchange

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Date is the Date field of answers (RFC 9110, section 6.6.1). It is made once for each second, and allocates nothing
// besides. The zero value is ready; it may be used by many goroutines at once.
type Date struct{ last atomic.Pointer[second] }

// second is the field of one second, as it stands on an HTTP/1.1 connection.
type second struct {
	unix int64
	line string
}

const (
	dateName = "Date: "
	lineEnd  = "\r\n"
)

// Line gives the field line for now, with the end of the line.
func (d *Date) Line(now time.Time) string {
	unix := now.Unix()
	if s := d.last.Load(); s != nil && s.unix == unix {
		return s.line
	}
	s := &second{unix, dateName + now.UTC().Format(http.TimeFormat) + lineEnd}
	d.last.Store(s)
	return s.line
}

// Value gives the field's value for now.
func (d *Date) Value(now time.Time) string {
	line := d.Line(now)
	return line[len(dateName) : len(line)-len(lineEnd)]
}

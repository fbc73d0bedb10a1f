package transport

import "sync/atomic"

// lentBody is a request's body in the hands of net/http. Where a stream to a backend has ended, that waits until the body
// is no longer read before it says so; but the client may send nothing before it learns of the end. So closing it ends a
// read that waits. The body itself stays whole for another connection, where nothing has been read.
type lentBody struct {
	body            *requestBody
	reading, closed atomic.Bool
}

func (l *lentBody) Read(p []byte) (n int, err error) {
	defer l.body.rescue.catch(&err)
	l.reading.Store(true)
	defer l.reading.Store(false)
	if l.closed.Load() { // one of the two sees the other
		return 0, errFinished
	}
	if intake := l.body.intake; intake != nil {
		intake.wait()
		defer intake.give()
		p = p[:min(len(p), bulkBuffer)] // so that it is not long until the next
	}
	return l.body.Read(p)
}

func (l *lentBody) Close() (err error) {
	defer l.body.rescue.catch(&err)
	l.closed.Store(true)
	if l.reading.Load() {
		l.body.stop()
	}
	return nil
}

package entrypoint

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listener accepts connections up to a limit, survives the errors of accept, and keeps the set of those that are open.
type listener struct {
	net.Listener
	tls              *tls.Config // nil: plain
	handshakeTimeout time.Duration
	progressTimeout  time.Duration
	lastTry          time.Duration // lastTry, but in tests
	began            time.Time
	limit            int           // 0: none
	slots            chan struct{} // one is taken by each open connection; nil without a limit
	log              *slog.Logger
	trouble          trouble
	gatherBuffers    *sync.Pool // of *gatherBuffer

	closed    chan struct{}
	closeOnce sync.Once
	closeErr  error

	draining atomic.Bool // no new connection is wanted, and no further request on those that are open

	mu   sync.Mutex
	open map[*conn]struct{}
	full bool // the limit was reached and said so
}

func newListener(inner net.Listener, options Options, log *slog.Logger) *listener {
	l := &listener{
		Listener:         inner,
		handshakeTimeout: options.HandshakeTimeout,
		progressTimeout:  options.ProgressTimeout,
		lastTry:          lastTry,
		began:            time.Now(),
		limit:            options.MaxConnections,
		log:              log,
		trouble:          trouble{log: log, quiet: quietAfterTrouble},
		gatherBuffers:    newGatherPool(),
		closed:           make(chan struct{}),
		open:             make(map[*conn]struct{}),
	}
	if l.limit > 0 {
		l.slots = make(chan struct{}, l.limit)
	}
	return l
}

// accept waits for a connection and, before that, for room. It gives nil only when the listener is closed: whatever else
// goes wrong, such as too many open files, passes or is repeated, and the next try comes a little later.
func (l *listener) accept() *conn {
	if !l.takeSlot() {
		return nil
	}
	for {
		accepted, err := l.Listener.Accept()
		if err == nil {
			if c := l.admit(accepted); c != nil {
				return c
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			l.freeSlot()
			return nil
		}
		select {
		case <-time.After(l.trouble.begin(err)):
		case <-l.closed:
		}
	}
}

// admit makes a connection of what was accepted; nil where none is wanted any more.
func (l *listener) admit(accepted net.Conn) *conn {
	c := &conn{TCPConn: accepted.(*net.TCPConn), listener: l}
	l.mu.Lock()
	wanted := !l.draining.Load()
	if wanted {
		l.open[c] = struct{}{}
	}
	l.mu.Unlock()
	if !wanted {
		_ = accepted.Close()
		return nil
	}
	return c
}

// Close stops accepting. Open connections stay.
func (l *listener) Close() error {
	l.closeOnce.Do(func() {
		close(l.closed)
		l.trouble.stop()
		l.closeErr = l.Listener.Close()
	})
	return l.closeErr
}

// takeSlot waits for room; it is false when the listener was closed meanwhile.
func (l *listener) takeSlot() bool {
	if l.slots == nil {
		return true
	}
	select {
	case l.slots <- struct{}{}:
		return true
	default:
	}
	l.mu.Lock()
	begins := !l.full && len(l.open) >= l.limit
	if begins {
		l.full = true
	}
	l.mu.Unlock()
	if begins {
		l.log.Warn("connection limit reached: new connections wait", "limit", l.limit)
	}
	select {
	case l.slots <- struct{}{}:
		return true
	case <-l.closed:
		return false
	}
}

func (l *listener) freeSlot() {
	if l.slots != nil {
		<-l.slots
	}
}

// release forgets a closed connection. That the limit no longer holds is said when a tenth is free, and two places at
// least: at the limit itself every connection that closes makes room for one that waits.
func (l *listener) release(c *conn) {
	l.mu.Lock()
	delete(l.open, c)
	ends := l.full && len(l.open) <= (l.limit-1)*9/10
	if ends {
		l.full = false
	}
	l.mu.Unlock()
	if ends {
		l.log.Warn("connections below the limit again", "limit", l.limit)
	}
	l.freeSlot()
}

// drain closes the connections on which no request is being served, those in a handshake too, and all that come from now
// on. The others end with their request.
func (l *listener) drain() {
	l.closeIf((*conn).drop)
}

func (l *listener) closeAll() {
	l.closeIf(func(*conn) bool { return true })
}

func (l *listener) closeIf(picked func(*conn) bool) {
	l.mu.Lock()
	l.draining.Store(true)
	var picks []*conn
	for c := range l.open {
		if picked(c) {
			picks = append(picks, c)
		}
	}
	l.mu.Unlock()
	for _, c := range picks {
		_ = c.Close()
	}
}

package accesslog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// OutputOptions are what an [Output] is made of. A zero value stands for the default given with it.
type OutputOptions struct {
	// Path is that of a file, to whose end lines are appended. Where there is none it is made, readable for its owner and
	// group only (0640), for paths and clients are nobody else's business. Empty: Writer.
	Path string
	// Writer gets the lines where there is no Path; nil: [os.Stdout]. A [*os.File] may be written to by others at the same
	// time: no line will be torn apart. Another Writer may not, unless it says so.
	Writer io.Writer
	// MaxBuffered is how many bytes of lines wait in memory while the disk is busy or full; what comes then is dropped:
	// 4 MiB. Another part as large may just be being written.
	MaxBuffered int
	// Delay is the longest time for which a line waits to be written with others: 100 ms. A line that comes after as long
	// a pause is written at once.
	Delay time.Duration
	// Log gets a warning when lines begin to be dropped or cannot be written, and when that has ended. Nil: none.
	Log *slog.Logger
}

const (
	defaultMaxBuffered = 4 << 20
	defaultDelay       = 100 * time.Millisecond

	// batch is how many bytes are written without waiting for more.
	batch = 64 << 10
	// retained is how much memory is kept when it is not needed any more.
	retained = 1 << 20
	// atomicWrite is how much the kernel writes into a pipe without letting another writer in (PIPE_BUF of Linux).
	atomicWrite = 4096

	// retryEvery is how long a target that failed is left alone at most.
	retryEvery = time.Second
	// settled is for how long no line must have been dropped for that to be over.
	settled = time.Second
	// closePatience is how long Close waits for a target that takes nothing: a pipe whose reader sleeps must not keep
	// Tricot from ending.
	closePatience = 10 * time.Second
)

// An Output takes lines into memory, and writes them from one goroutine, many at once. It never makes who writes to it
// wait, and loses nothing but what does not fit into memory. Its methods may be called by many goroutines at once.
type Output struct {
	log         *slog.Logger
	maxBuffered int
	delay       time.Duration
	patience    time.Duration // of Close
	target      *target

	mu       sync.Mutex // never held while something is waited for
	pending  []byte     // whole lines
	dropping bool       // lines are being dropped
	dropped  int        // that many since it began
	closed   bool

	some     chan struct{} // there is something in pending
	many     chan struct{} // there is a batch
	overflow chan struct{} // dropping has begun
	closing  chan struct{} // Close was called
	done     chan struct{} // all is written
	reported chan struct{} // and said
	writer   writer
}

// Open opens the file, or takes the writer, and starts two goroutines, which end with Close.
func Open(options OutputOptions) (*Output, error) {
	target, err := openTarget(options)
	if err != nil {
		return nil, err
	}
	o := &Output{
		log:         options.Log,
		maxBuffered: cmp.Or(options.MaxBuffered, defaultMaxBuffered),
		delay:       cmp.Or(options.Delay, defaultDelay),
		patience:    closePatience,
		target:      target,
		some:        make(chan struct{}, 1),
		many:        make(chan struct{}, 1),
		overflow:    make(chan struct{}, 1),
		closing:     make(chan struct{}),
		done:        make(chan struct{}),
		reported:    make(chan struct{}),
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	o.writer = writer{output: o}
	go o.writer.run()
	go o.report()
	return o, nil
}

// What Write returns.
var (
	errDropped = errors.New("the access log has no room for the line")
	errClosed  = errors.New("the access log is closed")
)

// Write takes one or more whole lines. It copies them, and never waits for the target. The error is for lines that are
// dropped, or that come after Close.
func (o *Output) Write(lines []byte) (int, error) {
	o.mu.Lock()
	before := len(o.pending)
	switch {
	case o.closed:
		o.mu.Unlock()
		return 0, errClosed
	case before+len(lines) > o.maxBuffered:
		first := !o.dropping
		o.dropping = true
		o.dropped++
		o.mu.Unlock()
		if first {
			wake(o.overflow)
		}
		return 0, errDropped
	}
	o.pending = append(o.pending, lines...)
	after := len(o.pending)
	o.mu.Unlock()
	if before == 0 {
		wake(o.some)
	}
	if before < batch && after >= batch {
		wake(o.many)
	}
	return len(lines), nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Reopen opens the file anew, by its path: after a rename the lines go to a new file. When it returns nothing more is
// written to the old one. Where the file cannot be opened the old one stays in use. A target that is no file is left as
// it is.
func (o *Output) Reopen() error { return o.target.reopen() }

// Close writes what is there, and closes the file. The error says why not all could be written. Lines that come later get
// one from Write. A second Close does nothing.
func (o *Output) Close() error {
	o.mu.Lock()
	first := !o.closed
	o.closed = true
	o.mu.Unlock()
	if !first {
		return nil
	}
	close(o.closing)
	timer := time.NewTimer(o.patience)
	defer timer.Stop()
	select {
	case <-o.reported:
	case <-timer.C:
		return fmt.Errorf("%s: %s took nothing for %s, and the last lines are lost", Name, o.target.name, o.patience)
	}
	return o.writer.ended
}

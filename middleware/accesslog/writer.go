package accesslog

import (
	"errors"
	"fmt"
	"time"
)

// writer is the goroutine of an [Output] that writes.
type writer struct {
	output  *Output
	lines   []byte // being written, or left by a write that failed
	done    int    // how many bytes of lines are written
	spare   []byte // the memory of lines that are
	failing bool   // the last write failed
	ended   error  // what Close gives
}

// run writes a line that comes after a pause at once, and then has others wait for each other.
func (w *writer) run() {
	o := w.output
	defer close(o.done)
	timer := time.NewTimer(o.delay)
	defer timer.Stop()
	var flushed time.Time
	for {
		var retry <-chan time.Time
		if w.failing {
			timer.Reset(retryEvery)
			retry = timer.C
		}
		select {
		case <-o.some:
		case <-retry:
		case <-o.closing:
			w.finish()
			return
		}
		if wait := o.delay - time.Since(flushed); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-o.many:
			case <-o.closing:
			}
		}
		w.flush()
		flushed = time.Now()
	}
}

// flush writes what an earlier write left, and then what has come since.
func (w *writer) flush() {
	if err := w.write(); err != nil {
		return
	}
	w.output.mu.Lock()
	w.lines, w.output.pending = w.output.pending, w.spare
	w.output.mu.Unlock()
	w.done, w.spare = 0, nil
	_ = w.write() // says so itself
}

// write writes what is left of lines, and says in the log when that begins to fail and when it works again.
func (w *writer) write() error {
	if len(w.lines) == 0 {
		w.reuse()
		return nil
	}
	log, name := w.output.log, w.output.target.name
	var err error
	w.done, err = w.output.target.write(w.lines, w.done)
	if err != nil {
		if !w.failing {
			log.Warn("the access log cannot be written: lines are kept in memory as long as there is room", "output", name, "cause", err)
		}
		w.failing = true
		w.ended = fmt.Errorf("%s: write the last lines: %w", Name, err)
		return err
	}
	if w.failing {
		log.Info("the access log is written again", "output", name)
	}
	w.failing, w.ended = false, nil
	w.reuse()
	return nil
}

// reuse keeps the memory of lines for the next ones, unless that is much.
func (w *writer) reuse() {
	if w.lines != nil && cap(w.lines) <= retained {
		w.spare = w.lines[:0]
	}
	w.lines = nil
}

func (w *writer) finish() {
	w.flush()
	w.ended = errors.Join(w.ended, w.output.target.close())
}

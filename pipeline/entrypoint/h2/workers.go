package h2

import "sync"

// idleWorkers is how many goroutines wait for work at most.
const idleWorkers = 512

// task is what a worker does.
type task interface{ run() }

// workers are the goroutines that serve requests. They are used again, the last one first: a new goroutine would grow its
// stack step by step, and copy it each time.
type workers struct {
	mu     sync.Mutex
	idle   []*worker
	closed bool
}

type worker struct{ next chan task }

// do has a task done by another goroutine.
func (w *workers) do(t task) {
	w.mu.Lock()
	if last := len(w.idle) - 1; last >= 0 {
		worker := w.idle[last]
		w.idle = w.idle[:last]
		w.mu.Unlock()
		worker.next <- t
		return
	}
	w.mu.Unlock()
	go w.work(t)
}

func (w *workers) work(t task) {
	self := &worker{next: make(chan task, 1)}
	for t != nil {
		t.run()
		if !w.rest(self) {
			return
		}
		t = <-self.next
	}
}

// rest puts a worker among those that wait, and is false where there are enough.
func (w *workers) rest(self *worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= idleWorkers {
		return false
	}
	w.idle = append(w.idle, self)
	return true
}

// close lets those that wait go, and the others after their task.
func (w *workers) close() {
	w.mu.Lock()
	idle := w.idle
	w.idle, w.closed = nil, true
	w.mu.Unlock()
	for _, worker := range idle {
		worker.next <- nil
	}
}

package consul

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/providers"
)

// A kind of trouble is one whose beginning and end are told for themselves.
type kind int

const (
	away    kind = iota // Consul cannot be reached, or answers what is no answer: time may mend it
	refused             // Consul says that it will not: somebody has to change something
)

// trouble knows which queries do not work, and logs when trouble begins and ends for all of them together. It may be used
// by many goroutines.
type trouble struct {
	log  *slog.Logger
	book *providers.TroubleBook
	// inForce says that there are services which stay in force meanwhile.
	inForce atomic.Bool
	// began gets a value, where it has room, when a query fails.
	began chan struct{}

	mu        sync.Mutex
	episodes  [2]episode    // by kind
	recovered chan struct{} // closed when a query that did not work does
}

// An episode is trouble of one kind.
type episode struct {
	begins, ends string
	queries      map[any]bool // those in it; none: it is over
	since        time.Time
	reason       string // of the first
}

func newTrouble(log *slog.Logger, book *providers.TroubleBook) *trouble {
	return &trouble{log: log, book: book, began: make(chan struct{}, 1), recovered: make(chan struct{}), episodes: [2]episode{
		away: {
			begins: "Consul does not answer as it should", ends: "Consul answers as it should again",
			queries: map[any]bool{},
		},
		refused: {
			begins: "Consul refuses what it is asked", ends: "Consul does not refuse what it is asked any more",
			queries: map[any]bool{},
		},
	}}
}

// failed says that a query did not work. It is known by what is the same for no other one, and has a name for people.
func (t *trouble) failed(query any, name string, err error) {
	select {
	case t.began <- struct{}{}:
	default:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	kind, hint := classify(err)
	if kind == refused { // it has answered; while one that is away may well refuse when it is back
		t.leave(query, away)
	}
	e := &t.episodes[kind]
	if e.queries[query] = true; len(e.queries) > 1 || !e.since.IsZero() {
		return
	}
	e.since, e.reason = time.Now(), fmt.Sprintf("%s: %s: %v", e.begins, name, err)
	t.note()
	consequence := "there are no services from it until it does"
	if kind == refused {
		consequence = "there are no services from it until that is mended"
	}
	if t.inForce.Load() {
		consequence = "the last good services stay in force"
	}
	attributes := []any{"query", name, "error", err}
	if hint != "" {
		attributes = append(attributes, "hint", hint)
	}
	t.log.Error(e.begins+", "+consequence, attributes...)
}

// worked says that a query did.
func (t *trouble) worked(query any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wasAway, wasRefused := t.leave(query, away), t.leave(query, refused)
	if wasAway || wasRefused {
		close(t.recovered)
		t.recovered = make(chan struct{})
	}
}

// forget is for a query that is not asked any more.
func (t *trouble) forget(query any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(query, away)
	t.leave(query, refused)
}

// recovery is closed when a query that did not work does, and others may be worth a try.
func (t *trouble) recovery() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.recovered
}

// leave takes a query out of an episode, which may end it. It says whether the query was in it.
func (t *trouble) leave(query any, kind kind) bool {
	e := &t.episodes[kind]
	if !e.queries[query] {
		return false
	}
	delete(e.queries, query)
	if len(e.queries) == 0 {
		t.log.Info(e.ends, "after", time.Since(e.since).Round(time.Millisecond))
		e.since = time.Time{}
		t.note()
	}
	return true
}

// note tells others of the episode that is under way, the older one of two.
func (t *trouble) note() {
	var current providers.Trouble
	for _, e := range t.episodes {
		if !e.since.IsZero() && (current.Since.IsZero() || e.since.Before(current.Since)) {
			current = providers.Trouble{Since: e.since, Reason: e.reason}
		}
	}
	t.book.Note(current)
}

package tickets_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
)

var errAway = errors.New("the store is away")

// A memory is a store for bubbles in which days pass: it tells changes without looking for them every half a second. It
// has no locks.
type memory struct {
	mu      sync.Mutex
	records map[string]store.Record
	writes  int
	changed chan struct{} // closed at the next change of anything
}

func newMemory() *memory {
	return &memory{records: map[string]store.Record{}, changed: make(chan struct{})}
}

// A handle is what one instance has of the memory. It can be cut off.
type handle struct {
	*memory
	away bool
}

var _ store.Store = (*handle)(nil)

func (m *memory) open() *handle { return &handle{memory: m} }

// change does something under the lock and wakes who follows.
func (m *memory) change(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (h *handle) cut(away bool) { h.change(func() { h.away = away }) }

func (h *handle) Load(_ context.Context, key string) (store.Record, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	record, found := h.records[key]
	switch {
	case h.away:
		return store.Record{}, errAway
	case !found:
		return store.Record{}, store.ErrNotFound
	}
	return record, nil
}

func (h *handle) Save(_ context.Context, record store.Record) (saved store.Record, err error) {
	h.change(func() {
		switch {
		case h.away:
			err = errAway
		case h.records[record.Key].Version != record.Version:
			err = store.ErrConflict
		default:
			h.writes++
			record.Version = strconv.Itoa(h.writes)
			h.records[record.Key] = record
			saved = record
		}
	})
	return saved, err
}

func (h *handle) Delete(_ context.Context, key string) error {
	h.change(func() { delete(h.records, key) })
	return nil
}

func (h *handle) Follow(ctx context.Context, prefix string, changed func([]store.Record)) error {
	told, first := "", true
	for {
		h.mu.Lock()
		next, away := h.changed, h.away
		var records []store.Record
		state := ""
		for key, record := range h.records {
			if strings.HasPrefix(key, prefix) {
				records = append(records, record)
				state += key + " " + record.Version + "\n"
			}
		}
		h.mu.Unlock()
		if !away && (first || state != told) {
			told, first = state, false
			changed(records)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next:
		}
	}
}

func (h *handle) Lock(context.Context, string) (store.Lock, error) {
	return nil, errors.New("there are no locks")
}

// written is the number of writes so far.
func (m *memory) written(t testing.TB) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	require.NotZero(t, m.writes)
	return m.writes
}

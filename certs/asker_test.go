package certs

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newTestAsker(newNames int) *asker {
	k := &Keeper{issuer: struct{ Issuer }{}, log: slog.New(slog.DiscardHandler), now: time.Now}
	k.serving.Store(&table{})
	return newAsker(k, newNames, nil)
}

func TestAsker_RemembersNoMoreAnswersThanItMay(t *testing.T) {
	a := newTestAsker(1)
	q := func(i int) question { return question{fmt.Sprintf("n%d.example.com", i), "http://ask.test/"} }
	for i := range maxAnswers - 1 {
		a.answered[q(i)] = time.Now().Add(refusedFor)
	}
	a.note(answer{question: q(-1), err: errors.New("away")}) // this one is to be forgotten first
	assert.Contains(t, a.answered, q(-1))
	for i := range 9 {
		a.note(answer{question: q(maxAnswers + i)})
	}
	assert.Len(t, a.answered, maxAnswers)
	assert.Len(t, *a.silent.Load(), maxAnswers)
	assert.NotContains(t, a.answered, q(-1))
	assert.Contains(t, a.answered, q(maxAnswers+8))
}

func TestAsker_KeepsNoMoreNamesWaitingThanItMayAndEachOnce(t *testing.T) {
	a := newTestAsker(1)
	for range 3 {
		for i := range 10_000 {
			a.queue(question{fmt.Sprintf("n%d.example.com", i), "http://ask.test/"})
		}
	}
	assert.Len(t, a.waiting, maxWaiting)
	assert.Len(t, a.among, maxWaiting)
	assert.Equal(t, "n63.example.com", a.waiting[63].name)
	for i := range 10_000 { // nobody listens, and no handshake waits
		a.hear(question{fmt.Sprintf("n%d.example.com", i), "http://ask.test/"})
	}
	assert.Len(t, a.heard, maxHeard)
}

func TestLoop_KeepsNoMorePendingNamesThanItMay(t *testing.T) {
	l := &loop{Keeper: newTestAsker(1).Keeper, names: map[string]*name{}}
	for i := range maxPending {
		is := fmt.Sprintf("n%d.example.com", i)
		l.names[is] = &name{name: is, demand: demand{ask: "http://ask.test/"}, retry: time.Unix(int64(i), 0)}
	}
	l.names["exact"] = &name{name: "exact", retry: time.Unix(maxPending, 0)}
	l.names["n999.example.com"].ordering = true // it is being tried: it does not count
	l.makeRoom()
	require.Len(t, l.names, maxPending+1)
	l.names["n999.example.com"].ordering = false
	l.makeRoom()
	require.Len(t, l.names, maxPending)
	assert.NotContains(t, l.names, "n999.example.com", "its next try is the furthest away")
	l.makeRoom()
	assert.Len(t, l.names, maxPending, "there is room")
}

func TestQuestion_AddsTheNameToTheURLAsItIs(t *testing.T) {
	for url, want := range map[string]string{
		"http://a.test":               "http://a.test?domain=a%26b.test",
		"http://a.test/x?":            "http://a.test/x?domain=a%26b.test",
		"https://a.test:1/x?y=%2F&z":  "https://a.test:1/x?y=%2F&z&domain=a%26b.test",
		"https://a.test/x%2Fy?y=z&":   "https://a.test/x%2Fy?y=z&domain=a%26b.test",
		"http://[::1]:80/?domain=own": "http://[::1]:80/?domain=own&domain=a%26b.test",
	} {
		at, err := question{"a&b.test", url}.address()
		require.NoError(t, err)
		assert.Equal(t, want, at)
	}
	assert.Equal(t, "http://a.test/x", question{"", "http://a.test/x?key=secret"}.endpoint())
	assert.Empty(t, question{"", "http://a\x7f"}.endpoint())
}

package certs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
)

const token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

// loads counts what a real store is asked, and may hold it up or fail.
type loads struct {
	store.Store
	count atomic.Int32
	hook  func() error
}

func (l *loads) Load(ctx context.Context, key string) (store.Record, error) {
	l.count.Add(1)
	if l.hook != nil {
		if err := l.hook(); err != nil {
			return store.Record{}, err
		}
	}
	return l.Store.Load(ctx, key)
}

func (p *place) challenge(token, answer string) {
	p.t.Helper()
	_, err := p.store().Save(p.t.Context(), store.Record{Key: certs.ChallengePrefix + token, Value: []byte(answer)})
	require.NoError(p.t, err)
}

func TestChallenges_AnswersFromMemoryWhatAnotherInstanceWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		s := &loads{Store: p.store(), hook: func() error { return errors.New("asked") }}
		c := certs.NewChallenges(s, nil)
		certstest.Run(t, c.Run)
		p.challenge(token, token+".thumbprint")
		p.eventually(func() bool {
			answer, found := c.Answer(t.Context(), token)
			return found && answer == token+".thumbprint"
		})
		asked := s.count.Load()
		require.NoError(t, p.store().Delete(t.Context(), certs.ChallengePrefix+token))
		p.eventually(func() bool { _, found := c.Answer(t.Context(), token); return !found })
		assert.LessOrEqual(t, asked, int32(1), "at most for the first miss")
	})
}

func TestChallenges_AsksTheStoreOnceWhereMemoryHasNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		s := &loads{Store: p.store()}
		c := certs.NewChallenges(s, nil) // it does not run: memory stays empty
		p.challenge(token, "answer")
		answer, found := c.Answer(t.Context(), token)
		assert.True(t, found)
		assert.Equal(t, "answer", answer)
		assert.Equal(t, int32(1), s.count.Load())

		for range 10 {
			_, found := c.Answer(t.Context(), "unknown")
			assert.False(t, found)
		}
		assert.Equal(t, int32(2), s.count.Load(), "an unknown token is asked for once")
	})
}

func TestChallenges_ForgetsAfterAWhileThatATokenWasUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		c := certs.NewChallenges(p.store(), nil)
		_, found := c.Answer(t.Context(), token)
		assert.False(t, found)
		p.challenge(token, "answer")
		_, found = c.Answer(t.Context(), token)
		assert.False(t, found)
		<-time.After(11 * time.Second)
		_, found = c.Answer(t.Context(), token)
		assert.True(t, found)
	})
}

func TestChallenges_AsksForNothingThatCannotBeAToken(t *testing.T) {
	p := newPlace(t, 0)
	s := &loads{Store: p.store()}
	c := certs.NewChallenges(s, nil)
	for _, token := range []string{"", ".", "..", "a/b", "../certs/app.example.com", "a b", "a.b", "a%2e", "ä", "a\x00", "a=", strings.Repeat("a", 129)} {
		_, found := c.Answer(t.Context(), token)
		assert.False(t, found, token)
	}
	assert.Zero(t, s.count.Load())
}

func TestChallenges_AsksOnceForAllWhoWaitForTheSameToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.challenge(token, "answer")
		answer := make(chan struct{})
		s := &loads{Store: p.store(), hook: func() error { <-answer; return nil }}
		c := certs.NewChallenges(s, nil)
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range 20 {
			ctx := t.Context()
			if i == 0 {
				ctx = first
			}
			all.Go(func() {
				got, found := c.Answer(ctx, token)
				assert.True(t, found || ctx == first)
				assert.True(t, got == "answer" || ctx == first)
			})
			synctest.Wait()
		}
		leave() // the one who asked: the others get their answer still
		synctest.Wait()
		close(answer)
		all.Wait()
		assert.Equal(t, int32(1), s.count.Load())
	})
}

func TestChallenges_AsksNoMoreThanAFewAtOnceAndNoMoreThanItRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		hold := make(chan struct{})
		s := &loads{Store: p.store(), hook: func() error { <-hold; return nil }}
		c := certs.NewChallenges(s, nil)
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() { c.Answer(t.Context(), fmt.Sprintf("unknown%d", i)) })
		}
		synctest.Wait()
		assert.Equal(t, int32(4), s.count.Load(), "at once")
		close(hold)
		all.Wait()

		for i := range 10_000 {
			c.Answer(t.Context(), fmt.Sprintf("flood%d", i))
		}
		assert.LessOrEqual(t, s.count.Load(), int32(512), "in all")
		<-time.After(11 * time.Second)
		p.challenge(token, "answer")
		_, found := c.Answer(t.Context(), token)
		assert.True(t, found, "after the flood")
	})
}

func TestChallenges_LogsOnceThatTheStoreIsAwayAndOnceThatItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		away := errors.New("away")
		s := &loads{Store: p.store(), hook: func() error { return away }}
		c := certs.NewChallenges(s, slog.New(slog.NewTextHandler(p.log, nil)))
		for i := range 5 {
			_, found := c.Answer(t.Context(), fmt.Sprintf("token%d", i))
			assert.False(t, found)
		}
		assert.Equal(t, 1, p.log.Count("cannot be asked"))
		s.hook = nil
		p.challenge("token9", "answer")
		_, found := c.Answer(t.Context(), "token9")
		assert.True(t, found)
		c.Answer(t.Context(), "token10")
		assert.Equal(t, 1, p.log.Count("can be asked"))
	})
}

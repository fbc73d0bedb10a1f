package certs

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// ChallengePrefix is where the store has the answers to HTTP-01 challenges (RFC 8555, section 8.3): the key
// authorization, as it is sent, under the token.
const ChallengePrefix = "challenge/"

const (
	// maxToken is the number of characters in the longest token that the store is asked for. RFC 8555 wants 22 at least
	// and gives no most; CAs make 43.
	maxToken = 128
	// maxAsks is how many questions the store is asked at once.
	maxAsks = 4
	// askPatience is how long the store may take for its answer.
	askPatience = 3 * time.Second
	// maxUnknown bounds the tokens that are remembered because the store does not have them, and with unknownFor how often
	// it is asked: a token that finds no place among them is not asked for.
	maxUnknown = 512
	unknownFor = 10 * time.Second
)

// Challenges answers HTTP-01 challenges, whichever instance has asked for the certificate: from memory, into which it
// follows the store, and for a token that is not there yet from the store itself. A flood of tokens that nobody has made
// is answered from memory too, but for a few. Its methods may be called by many goroutines at once.
type Challenges struct {
	store store.Store
	log   *slog.Logger

	answers atomic.Pointer[map[string]string] // by token

	mu      sync.Mutex
	asks    map[string]*ask // by token: those under way
	unknown map[string]bool // tokens that the store does not have
	oldest  []unknown       // in the order in which they are to be forgotten
	away    bool            // the log knows that the store cannot be asked
}

// An ask is one question to the store, for all who want to know.
type ask struct {
	done   chan struct{}
	answer string
	found  bool
}

type unknown struct {
	token string
	until time.Time
}

// NewChallenges makes an empty one. Log may be nil.
func NewChallenges(s store.Store, log *slog.Logger) *Challenges {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Challenges{store: s, log: log, asks: map[string]*ask{}, unknown: map[string]bool{}}
	c.answers.Store(&map[string]string{})
	return c
}

// Run follows the store until ctx ends, and returns nil then.
func (c *Challenges) Run(ctx context.Context) error {
	return c.store.Follow(ctx, ChallengePrefix, func(records []store.Record) {
		answers := make(map[string]string, len(records))
		for _, record := range records {
			answers[strings.TrimPrefix(record.Key, ChallengePrefix)] = string(record.Value)
		}
		c.answers.Store(&answers)
	})
}

// Answer gives the key authorization of a token, and false where there is none.
func (c *Challenges) Answer(ctx context.Context, token string) (string, bool) {
	if answer, found := (*c.answers.Load())[token]; found {
		return answer, true
	}
	if !isToken(token) {
		return "", false
	}
	c.mu.Lock()
	a, mine := c.begin(token)
	c.mu.Unlock()
	if a == nil {
		return "", false
	}
	if mine {
		c.ask(ctx, token, a)
	}
	select {
	case <-a.done:
		return a.answer, a.found
	case <-ctx.Done():
		return "", false
	}
}

// begin finds the question about a token that is under way, or makes one, which is then the caller's to ask; nil: none is
// asked. The caller holds mu.
func (c *Challenges) begin(token string) (a *ask, mine bool) {
	if a := c.asks[token]; a != nil {
		return a, false
	}
	now := time.Now()
	for len(c.oldest) > 0 && !now.Before(c.oldest[0].until) {
		delete(c.unknown, c.oldest[0].token)
		c.oldest = c.oldest[1:]
	}
	if c.unknown[token] || len(c.unknown) >= maxUnknown || len(c.asks) >= maxAsks {
		return nil, false
	}
	a = &ask{done: make(chan struct{})}
	c.asks[token] = a
	return a, true
}

// ask asks the store. It does not end with the client: others may wait for the same answer.
func (c *Challenges) ask(ctx context.Context, token string, a *ask) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askPatience)
	defer cancel()
	record, err := c.store.Load(ctx, ChallengePrefix+token)

	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(a.done)
	delete(c.asks, token)
	if err == nil {
		a.answer, a.found = string(record.Value), true
	} else {
		c.unknown[token] = true
		c.oldest = append(c.oldest, unknown{token, time.Now().Add(unknownFor)})
	}
	switch away := err != nil && !errors.Is(err, store.ErrNotFound); {
	case away && !c.away:
		c.away = true
		c.log.Error("the store cannot be asked for an ACME challenge", "err", err)
	case !away && c.away:
		c.away = false
		c.log.Info("the store can be asked for ACME challenges again")
	}
}

// isToken says whether a string has the characters and the length of a token: base64url, RFC 8555, section 8.3.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxToken
}

package consul

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/certs/store"
)

// tries is how many tries have room in Options.Timeout where none is answered.
const tries = 3

// persist repeats try for as long as it fails in a way that may pass, and ctx and Options.Timeout allow. One try has a part
// of that time: an agent waits for a server that has died without a word until it hears of its death, and asks another
// server only what it is asked then. What was given up may still be done later, and each write has a condition that does not
// hold any more by then: but one, that a record is not there, which is true again where another has deleted it since.
func (s *Store) persist(ctx context.Context, try func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	pause := newPause(50*time.Millisecond, time.Second)
	var last error
	for {
		err := s.once(bounded, try)
		if err == nil || !passing(err) {
			return err
		}
		if last == nil || bounded.Err() == nil { // what was cut off by the end of the time says less than the one before
			last = err
		}
		if pause.wait(bounded) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w (%v)", err, last)
		}
		return fmt.Errorf("given up after %v: %w", s.timeout, last)
	}
}

func (s *Store) once(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout/tries)
	defer cancel()
	return try(ctx)
}

// A pause is the time between two tries: it grows, and differs between those who all failed at once.
type pause struct{ *backoff.ExponentialBackOff }

func newPause(first, most time.Duration) pause {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = first, most, 2
	return pause{b}
}

// wait makes the next pause, and says whether it was made to its end.
func (p pause) wait(ctx context.Context) bool { return wait(ctx, p.NextBackOff()) }

// wait is false where ctx ends before d has passed.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// put does one request that is no query, and decodes its answer into out.
func (s *Store) put(ctx context.Context, path string, in, out any) error {
	return s.exchange(ctx, http.MethodPut, path, slog.Attr{}, func(ctx context.Context) error {
		_, err := s.client.Raw().Write(path, in, out, new(api.WriteOptions).WithContext(ctx))
		return err
	})
}

// exchange does one request, of which what it asks is logged, and what came of it.
func (s *Store) exchange(ctx context.Context, method, path string, asked slog.Attr, do func(context.Context) error) error {
	begin := time.Now()
	err := do(ctx)
	var status api.StatusError
	switch {
	case err == nil:
	case errors.As(err, &status):
		err = &answer{status.Code, status.Body}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()): // whose end it was is for the caller to say
		err = fmt.Errorf("no answer to %s %s", method, path)
	}
	if s.log.Enabled(ctx, slog.LevelDebug) {
		outcome := "ok"
		if err != nil {
			outcome = err.Error()
		}
		s.log.LogAttrs(ctx, slog.LevelDebug, "asked Consul", slog.String("method", method), slog.String("path", path), asked,
			slog.Duration("took", time.Since(begin)), slog.String("outcome", outcome))
	}
	return err
}

// An answer is what Consul says where it does not do what it was asked.
type answer struct {
	code int
	text string
}

func (a *answer) Error() string {
	const most = 300 // bytes; what is longer is some proxy's page
	text := strings.Join(strings.Fields(a.text), " ")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Sprintf("Consul answered %d: %s", a.code, text)
}

// passing says whether a request that failed with err may go well when it is made again.
func passing(err error) bool {
	var said *answer
	var refused *refusal
	var distrust *tls.CertificateVerificationError
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound), errors.As(err, &refused), errors.As(err, &distrust):
		return false
	case errors.As(err, &said):
		return said.code >= http.StatusInternalServerError || said.code == http.StatusTooManyRequests
	}
	return true // the connection, or nonsense
}

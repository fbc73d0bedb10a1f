package consul

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/consul/api"
)

// What is wrong with an answer that came as it should.
var (
	errNoIndex  = errors.New("the answer has no index: it is not one of Consul's API")
	errNoLeader = errors.New("there is no leader")
	errFiltered = errors.New("the ACL token may see none of it")
)

// A question is what one blocking query asks, and what is to be done with the answers.
type question[T any] struct {
	// name is what the query is about, in logs.
	name string
	ask  func(*api.QueryOptions) (T, *api.QueryMeta, error)
	// check says what is wrong with an answer that could be decoded.
	check func(T, *api.QueryMeta) error
	// empty says that an answer takes everything away, bare that there is nothing in it at all.
	empty, bare func(T) bool
	// tell gets each answer that is news.
	tell func(T)
}

// A watch asks one question again and again.
type watch[T any] struct {
	question[T]
	options *Options
	trouble *trouble

	// index is that of the last answer; 0: the next answer is wanted at once.
	index uint64
	// settled says that index continues from an answer that was believed. Until then, what is empty has to be confirmed.
	settled bool
	pace    pace
	// failures and idlings space out the queries that fail, and those that return early without news.
	failures, idlings *backoff.ExponentialBackOff
}

func newWatch[T any](q question[T], options *Options, trouble *trouble) *watch[T] {
	spacing := func() *backoff.ExponentialBackOff {
		return &backoff.ExponentialBackOff{
			InitialInterval: options.RetryFloor, MaxInterval: options.RetryCeiling, Multiplier: 2, RandomizationFactor: 0.5,
		}
	}
	return &watch[T]{question: q, options: options, trouble: trouble, failures: spacing(), idlings: spacing()}
}

// run asks until ctx ends.
func (w *watch[T]) run(ctx context.Context) {
	for {
		if !rest(ctx, w.pace.delay(time.Now()), nil) {
			return
		}
		// Taken before the question, so that the recovery of another query during it is not missed.
		recovery := w.trouble.recovery()
		delay, err := w.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.restart()
			w.trouble.failed(w, w.name, err)
			if !rest(ctx, min(w.failures.NextBackOff(), w.options.RetryCeiling), recovery) {
				return
			}
			continue
		}
		w.failures.Reset()
		w.trouble.worked(w)
		if !rest(ctx, delay, nil) {
			return
		}
	}
}

// once asks once. It gives how long to rest before the next time.
func (w *watch[T]) once(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	answer, index, err := w.read(ctx, w.options.waiting(w.index))
	if err != nil {
		return 0, err
	}
	switch {
	case index > w.index:
		if !w.settled && w.empty(answer) {
			answer, index, err = w.read(ctx, w.options.waiting(0))
			if err != nil {
				return 0, fmt.Errorf("confirm that there is nothing: %w", err)
			}
		}
		w.index, w.settled = index, true
		w.idlings.Reset()
		w.tell(answer)
		return 0, nil
	case index < w.index: // older than what is known, from a server that lags behind or a Consul that began anew
		w.restart()
	default:
		// Nothing new, as on most days; but the token may see more by now, or less. Not what is empty: an agent that has
		// lost the stream of changes answers so when the wait is over.
		if !w.empty(answer) {
			w.tell(answer)
		}
		if time.Since(start) > w.options.Wait/2 {
			w.idlings.Reset()
			return 0, nil
		}
	}
	return min(w.idlings.NextBackOff(), w.options.RetryCeiling), nil
}

// restart has the next answer taken for what it is, whatever its index.
func (w *watch[T]) restart() { w.index, w.settled = 0, false }

// read asks and judges the answer. It gives the index to go on from, which is never 0.
func (w *watch[T]) read(ctx context.Context, options *api.QueryOptions) (answer T, index uint64, err error) {
	limit := w.options.Timeout
	if options.WaitIndex > 0 {
		limit += options.WaitTime + options.WaitTime/16
	}
	late := fmt.Errorf("no answer within %s", limit)
	limited, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	answer, meta, err := w.ask(options.WithContext(limited))
	switch {
	case err != nil && context.Cause(limited) == late:
		return answer, 0, late
	case err != nil:
		return answer, 0, err
	case meta.LastIndex == 0: // Consul itself never says so
		return answer, 0, errNoIndex
	// An agent that answers from the stream of changes that it follows ("streaming") does not say whether there is a
	// leader, and never says that there is.
	case !meta.KnownLeader && meta.QueryBackend != "streaming":
		return answer, 0, errNoLeader
	}
	if err := w.check(answer, meta); err != nil {
		return answer, 0, err
	}
	if meta.ResultsFilteredByACLs && w.bare(answer) {
		return answer, 0, errFiltered
	}
	return answer, meta.LastIndex, nil
}

// waiting gives the options of a query that goes on from an index. One that does not wait is consistent: a server that
// lags behind, and a new leader that has not yet read its own log, know less than is known here.
func (o *Options) waiting(index uint64) *api.QueryOptions {
	if index == 0 {
		return &api.QueryOptions{RequireConsistent: true}
	}
	return &api.QueryOptions{WaitIndex: index, WaitTime: o.Wait, AllowStale: o.AllowStale}
}

// rest waits, no longer than until early is closed. It is false when ctx has ended.
func rest(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

package certs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/tricot-proxy/tricot/certs/store"
)

// failurePrefix is where the store has what is known of certificates that could not be had.
const failurePrefix = "failures/"

const (
	// maxRetry is the longest time for which an issuer is obeyed that wants no further try. Let's Encrypt's limits are
	// counted over a week at most.
	maxRetry = 7 * 24 * time.Hour
	// maxHold is the longest time for which a record in the store can hold up a name: maxRetry and the spread of tries
	// after it. What says more was not written by a clock that goes right.
	maxHold = 8 * 24 * time.Hour
	// abandoned is how long after its next try was due a record is taken to be of a name that nobody wants any more.
	abandoned = 24 * time.Hour
	// maxText is the number of bytes of an error that are kept.
	maxText = 600
)

// A failure is what the store has of a certificate that could not be had. The zero one: there is none.
type failure struct {
	// Attempts is the number of orders in a row that failed, of all instances. None: the issuer has only held back.
	Attempts int `json:"attempts"`
	// LastError is one line.
	LastError string `json:"last_error"`
	// NextTry is when the name may be tried again, by any instance.
	NextTry time.Time `json:"next_try"`
	version string    // of the record
}

func failureKey(name string) string { return failurePrefix + lockName(name) }

// fail makes what is to be known after an order failed, of what was known before, and of the number of orders of this
// instance that failed before in a row.
func (k *Keeper) fail(before failure, attempts int, err error) failure {
	f := failure{Attempts: before.Attempts, LastError: oneLine(err.Error()), version: before.version}
	now := k.now()
	next := now
	if !isHeld(err) {
		f.Attempts = max(f.Attempts, attempts) + 1
		next = now.Add(backoff(f.Attempts, firstPause(err), k.maxBackoff))
	}
	if at := retryAt(err); at.After(now) {
		wait := min(at.Sub(now), maxRetry)
		// Not in one second, where a thousand names were told the same time.
		wait += time.Duration(jitter() * float64(wait/10))
		if at = now.Add(wait); at.After(next) {
			next = at
		}
	}
	f.NextTry = next.UTC()
	return f
}

// holds says whether a failure is a reason not to order now.
func (f failure) holds(now time.Time, most time.Duration) bool {
	return f.NextTry.After(now) && f.NextTry.Before(now.Add(max(most, maxHold)))
}

// decodeFailure reads a record. One that is not as it should be counts as none: the worst is a try too many.
func decodeFailure(r store.Record) failure {
	var f failure
	if r.Version != "" && (json.Unmarshal(r.Value, &f) != nil || f.Attempts < 0) {
		f = failure{}
	}
	f.version = r.Version
	return f
}

func (k *Keeper) loadFailure(ctx context.Context, name string) (failure, error) {
	record, err := k.load(ctx, failureKey(name))
	if err != nil {
		return failure{}, err
	}
	return decodeFailure(record), nil
}

// saveFailure keeps a failure in place of the one before it, and gives it as it is in the store. Where it cannot be saved,
// this instance alone goes by it.
func (k *Keeper) saveFailure(ctx context.Context, lock store.Lock, name string, f failure) failure {
	value, err := json.Marshal(f)
	if err == nil {
		var saved store.Record
		saved, err = lock.Save(ctx, store.Record{Key: failureKey(name), Value: value, Version: f.version})
		if err == nil {
			f.version = saved.Version
		}
	}
	if err != nil {
		k.log.Debug("the failure of an order could not be kept in the store", "name", name, "err", err)
	}
	return f
}

// forgive clears a failure away after a success.
func (k *Keeper) forgive(ctx context.Context, name string, f failure) {
	if f.version == "" {
		return
	}
	if err := k.store.Delete(ctx, failureKey(name)); err != nil && !errors.Is(err, store.ErrNotFound) {
		k.log.Debug("the failure of an order could not be cleared away after a success", "name", name, "err", err)
	}
}

// retryAt is when an issuer's error allows another try; zero: it does not say.
func retryAt(err error) time.Time {
	var with interface{ RetryAt() time.Time }
	if errors.As(err, &with) {
		return with.RetryAt()
	}
	return time.Time{}
}

// isHeld says whether an issuer has asked nothing for the name, because it asks nothing for any.
func isHeld(err error) bool {
	var with interface{ Held() bool }
	return errors.As(err, &with) && with.Held()
}

// firstPause is the time from a first failure to the second try.
func firstPause(err error) time.Duration {
	var with interface{ NameRefused() bool }
	if errors.As(err, &with) && with.NameRefused() {
		return firstBackoffOfName
	}
	return firstBackoff
}

// oneLine makes the text of an error fit for a line.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c)
	}), " ")
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

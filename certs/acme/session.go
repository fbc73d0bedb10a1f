package acme

import (
	"context"
	"net/http"
	"sync"
	"time"

	protocol "github.com/mholt/acmez/v3/acme"
)

const (
	// clientLife is how long a directory is believed; the library would never read it again.
	clientLife = 12 * time.Hour
	// holdFor is the pause after a failure that every name would meet, so that a thousand names that want a certificate
	// do not each find out for themselves. It doubles with each such failure in a row, up to maxHold, and is always shorter
	// than the pause that [certs.Keeper] gives to a name that has met them all.
	holdFor = 2 * time.Second
	maxHold = 32 * time.Second
)

// A session is what the orders of this instance have in common. The holder of the issuer's turn changes it.
type session struct {
	client  *protocol.Client
	born    time.Time
	account *account // nil: not known yet
	gone    string   // the URL of an account that the CA did not know any more
}

// open gives the client with the directory read, and the account.
func (i *Issuer) open(ctx context.Context, name string) (client *protocol.Client, a *account, err *Error) {
	err = i.inTurn(ctx, name, func() *Error {
		if client, err = i.reach(ctx, name); err == nil && i.account == nil {
			if i.account, err = i.obtainAccount(ctx, client, name); err == nil {
				i.refused.over()
			}
		}
		a = i.account
		return err
	})
	return client, a, err
}

// directory gives the CA's directory.
func (i *Issuer) directory(ctx context.Context) (d protocol.Directory, err *Error) {
	err = i.inTurn(ctx, "", func() *Error {
		client, err := i.reach(ctx, "")
		if err == nil {
			d, _ = client.GetDirectory(ctx) // it has been read
		}
		return err
	})
	return d, err
}

// inTurn does something with the session when nobody else does, unless the CA is not to be asked now. To wait for the
// turn ends with ctx, which to wait for the library's own locks would not.
func (i *Issuer) inTurn(ctx context.Context, name string, do func() *Error) *Error {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return &Error{Name: name, Doing: string(reaching), Err: context.Cause(ctx)}
	}
	if err := i.busy.now(name, i.o.Now()); err != nil {
		return err
	}
	return i.held(do())
}

// reach reads the directory where it has not been read for long. The caller has the turn.
func (i *Issuer) reach(ctx context.Context, name string) (*protocol.Client, *Error) {
	if age := i.o.Now().Sub(i.born); i.client != nil && age >= 0 && age < clientLife {
		return i.client, nil
	}
	client := &protocol.Client{
		Directory: i.o.Directory, HTTPClient: i.http, UserAgent: userAgent, PollInterval: i.poll,
	}
	if err := i.call(ctx, reaching, name, func(ctx context.Context) error {
		_, err := client.GetDirectory(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	i.client, i.born = client, i.o.Now()
	i.busy.over()
	return client, nil
}

// forget has the next order look for another account than one that the CA does not know any more.
func (i *Issuer) forget(ctx context.Context, a *account) {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return
	}
	if i.account == a {
		i.account, i.gone = nil, a.url
	}
}

// A hold keeps all names from asking for a while.
type hold struct {
	mu     sync.Mutex
	until  time.Time
	err    Error // why
	failed int   // failures in a row of which the CA did not say how long they last
}

// now gives the error for a name that may not ask now, nil where it may.
func (h *hold) now(name string, now time.Time) *Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !now.Before(h.until) {
		return nil
	}
	err := h.err
	err.Name, err.Until, err.held = name, h.until, true
	return &err
}

// pause gives the time for which to hold after one more failure of which the CA does not say how long it lasts.
func (h *hold) pause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed++
	return min(holdFor<<min(h.failed-1, 10), maxHold)
}

// over notes that there was no failure.
func (h *hold) over() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = 0
}

// held notes an error that other names would meet too, of reading the directory or of making an account, and gives it
// back.
func (i *Issuer) held(err *Error) *Error {
	if err == nil || err.held || err.Cause == Other || err.Cause == StoreFailed {
		return err
	}
	h := &i.busy
	if stage(err.Doing) == registering && err.Status != http.StatusServiceUnavailable {
		h = &i.refused
	}
	until := err.Until
	if until.IsZero() {
		until = i.o.Now().Add(h.pause())
	}
	h.set(until, err)
	return err
}

// heed notes an error of a CA that wants to be left alone by everybody.
func (i *Issuer) heed(err *Error) {
	if err.Status == http.StatusServiceUnavailable && !err.Until.IsZero() {
		i.busy.set(err.Until, err)
	}
}

func (h *hold) set(until time.Time, err *Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.until) {
		h.until, h.err = until, *err
	}
}

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
	// do not each find out for themselves. It is shorter than the first pause of [certs.Keeper].
	holdFor = 2 * time.Second
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
			i.account, err = i.obtainAccount(ctx, client, name)
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
	mu    sync.Mutex
	until time.Time
	err   Error // why
}

// now gives the error for a name that may not ask now, nil where it may.
func (h *hold) now(name string, now time.Time) *Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !now.Before(h.until) {
		return nil
	}
	err := h.err
	err.Name, err.Until = name, h.until
	return &err
}

// held notes an error that other names would meet too, and gives it back.
func (i *Issuer) held(err *Error) *Error {
	if err == nil || err.Cause == Other || err.Cause == StoreFailed {
		return err
	}
	s, until := stage(err.Doing), err.Until
	if s.common() && until.IsZero() {
		until = i.o.Now().Add(holdFor)
	}
	switch {
	case s == reaching, err.Status == http.StatusServiceUnavailable && !until.IsZero():
		i.busy.set(until, err)
	case s == registering:
		i.refused.set(until, err)
	}
	return err
}

func (h *hold) set(until time.Time, err *Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.until) {
		h.until, h.err = until, *err
	}
}

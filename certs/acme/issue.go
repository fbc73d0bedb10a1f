package acme

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	protocol "github.com/mholt/acmez/v3/acme"

	"github.com/tricot-proxy/tricot/certs"
)

// readyPatience is how long an order may take to notice that its authorizations are valid.
const readyPatience = time.Minute

// Issue is as [certs.Issuer] says. Its errors are of type *[Error]. One for a name that is not [Signable] comes without
// the CA's being asked.
func (i *Issuer) Issue(ctx context.Context, name string) (certs.Pair, error) {
	if ok, reason := Signable(name); !ok {
		return certs.Pair{}, &Error{Name: name, Doing: string(ordering), Cause: NameRefused, Err: errors.New(reason)}
	}
	pair, err := i.issue(ctx, name)
	if err != nil {
		i.heed(err)
		return certs.Pair{}, err
	}
	return pair, nil
}

func (i *Issuer) issue(ctx context.Context, name string) (certs.Pair, *Error) {
	client, a, order, err := i.order(ctx, name)
	if err != nil {
		return certs.Pair{}, err
	}
	for _, url := range order.Authorizations {
		if err := i.authorize(ctx, client, a, name, url); err != nil {
			return certs.Pair{}, i.accountGone(ctx, err, a)
		}
	}
	key, failed := i.o.KeyType.generate()
	if failed != nil {
		return certs.Pair{}, &Error{Name: name, Doing: "make a private key", Err: failed}
	}
	csr, failed := request(name, key)
	if failed != nil {
		return certs.Pair{}, &Error{Name: name, Doing: "make a signing request", Err: failed}
	}
	if err := i.call(ctx, finalizing, name, func(ctx context.Context) (err error) {
		if order, err = i.ready(ctx, client, a, order); err == nil {
			order, err = client.FinalizeOrder(ctx, a.as, order, csr)
		}
		return err
	}); err != nil {
		return certs.Pair{}, i.accountGone(ctx, err, a)
	}
	chain, err := i.download(ctx, client, a, name, order.Certificate)
	if err != nil {
		return certs.Pair{}, i.accountGone(ctx, err, a)
	}
	issued, failed := pair(name, chain, key, i.o.Now())
	if failed != nil {
		return certs.Pair{}, &Error{
			Name: name, Doing: "use the certificate that the CA gave", Cause: CAUnwell, Err: failed,
		}
	}
	return issued, nil
}

// order places an order. Where the CA does not know the account any more, it does so once more, with a new one.
func (i *Issuer) order(ctx context.Context, name string) (*protocol.Client, *account, protocol.Order, *Error) {
	for again := false; ; again = true {
		client, a, err := i.open(ctx, name)
		if err != nil {
			return nil, nil, protocol.Order{}, err
		}
		order, err := i.place(ctx, client, a, name)
		if err == nil {
			return client, a, order, nil
		}
		if i.accountGone(ctx, err, a); again || err.Type != gone {
			return nil, nil, protocol.Order{}, err
		}
	}
}

// gone is the problem with an account that the CA does not know.
const gone = "accountDoesNotExist"

// accountGone forgets an account that the CA does not know any more, if that is what the error says, and gives it back.
func (i *Issuer) accountGone(ctx context.Context, err *Error, a *account) *Error {
	if err.Type == gone {
		i.forget(ctx, a)
	}
	return err
}

func (i *Issuer) place(
	ctx context.Context, client *protocol.Client, a *account, name string,
) (placed protocol.Order, err *Error) {
	order := protocol.Order{
		Identifiers: []protocol.Identifier{{Type: "dns", Value: name}},
		Profile:     i.o.Profile,
	}
	directory, failed := client.GetDirectory(ctx)
	if failed == nil && order.Profile != "" && !hasProfile(directory, order.Profile) {
		return placed, &Error{
			Name: name, Doing: string(ordering), Cause: AccountRefused, Err: noProfile(directory, order.Profile),
		}
	}
	if failed == nil && directory.RenewalInfo != "" {
		order.Replaces = i.renewals.predecessor(name)
	}
	place := func(ctx context.Context) (err error) {
		placed, err = client.NewOrder(ctx, a.as, order)
		return err
	}
	err = i.call(ctx, ordering, name, place)
	if err != nil && order.Replaces != "" && refusesReplacement(err) {
		order.Replaces = ""
		err = i.call(ctx, ordering, name, place)
	}
	return placed, err
}

// refusesReplacement says whether an order may fare better without the certificate that it replaces: that has been
// replaced already, or the CA has lost it, or knows it from another account.
func refusesReplacement(err *Error) bool {
	switch err.Type {
	case "alreadyReplaced", "malformed", "unauthorized", "serverInternal":
		return err.Until.IsZero()
	}
	return err.Status == http.StatusConflict || err.Status == http.StatusNotFound
}

func hasProfile(d protocol.Directory, profile string) bool {
	if d.Meta == nil {
		return false
	}
	_, there := d.Meta.Profiles[profile]
	return there
}

func noProfile(d protocol.Directory, profile string) error {
	if d.Meta == nil || len(d.Meta.Profiles) == 0 {
		return fmt.Errorf("the CA has no profiles, and so none that is called %q", profile)
	}
	known := slices.Sorted(maps.Keys(d.Meta.Profiles))
	return fmt.Errorf("the CA has no profile %q, only %s", profile, oneLine(strings.Join(known, ", ")))
}

// ready waits until an order has noticed that its authorizations are valid. The library would give up an order that has
// not, and does not tell why one is invalid.
func (i *Issuer) ready(
	ctx context.Context, client *protocol.Client, a *account, order protocol.Order,
) (protocol.Order, error) {
	for end := time.Now().Add(readyPatience); ; {
		order, err := client.GetOrder(ctx, a.as, order)
		switch {
		case err != nil:
			return order, err
		case order.Status == protocol.StatusReady:
			return order, nil
		case order.Error != nil:
			return order, order.Error
		case order.Status != protocol.StatusPending || time.Now().After(end):
			return order, fmt.Errorf("the CA gave an order with the status %q", order.Status)
		}
		select {
		case <-time.After(i.poll):
		case <-ctx.Done():
			return order, ctx.Err()
		}
	}
}

// download gives the chain that the CA prefers. The library would read the alternates too, and the renewal information of
// each, and try for long where that fails. So its context ends with the last byte of the first.
func (i *Issuer) download(
	ctx context.Context, client *protocol.Client, a *account, name, url string,
) (chain []byte, err *Error) {
	err = i.call(ctx, downloading, name, func(ctx context.Context) error {
		ctx, enough := context.WithCancel(ctx)
		defer enough()
		ctx = context.WithValue(ctx, chainKey{}, enough)
		chains, err := client.GetCertificateChain(ctx, a.as, url)
		if len(chains) > 0 {
			chain = chains[0].ChainPEM
			return nil
		}
		return err
	})
	return chain, err
}

type chainKey struct{}

// A whole body calls read when it has been read to its end.
type whole struct {
	io.ReadCloser
	read func()
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		w.read()
	}
	return n, err
}

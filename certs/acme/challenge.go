package acme

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	protocol "github.com/mholt/acmez/v3/acme"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/store"
)

// staleAfter is the time between two looks at the challenges in the store. What is there at both looks belongs to no
// order any more: none takes that long. So no record needs a date, which anybody who answers would have to know of.
const staleAfter = time.Hour

// authorize has the CA validate the name, where it does not trust it still.
func (i *Issuer) authorize(
	ctx context.Context, client *protocol.Client, a *account, name, url string,
) *Error {
	var authorization protocol.Authorization
	if err := i.call(ctx, validating, name, func(ctx context.Context) (err error) {
		authorization, err = client.GetAuthorization(ctx, a.as, url)
		return err
	}); err != nil {
		return err
	}
	if authorization.Status == protocol.StatusValid {
		return nil
	}
	challenge, err := httpChallenge(authorization)
	if err != nil {
		return &Error{Name: name, Doing: string(validating), Cause: NameRefused, Err: err}
	}

	key := certs.ChallengePrefix + challenge.Token
	if err := i.present(ctx, key, challenge.KeyAuthorization); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return &Error{Name: name, Doing: string(validating), Err: cause}
		}
		return &Error{Name: name, Doing: "write the challenge to the store", Cause: StoreFailed, Err: err}
	}
	defer i.withdraw(ctx, key)
	if err := i.settle(ctx); err != nil {
		return &Error{Name: name, Doing: string(validating), Err: err}
	}
	return i.call(ctx, validating, name, func(ctx context.Context) error {
		if _, err := client.InitiateChallenge(ctx, a.as, challenge); err != nil {
			return err
		}
		_, err := client.PollAuthorization(ctx, a.as, authorization)
		return err
	})
}

// httpChallenge finds the challenge that can be answered.
func httpChallenge(a protocol.Authorization) (protocol.Challenge, error) {
	if a.Status != protocol.StatusPending {
		return protocol.Challenge{}, fmt.Errorf("the CA gave an authorization with the status %q", oneLine(a.Status))
	}
	for _, c := range a.Challenges {
		if c.Type != protocol.ChallengeTypeHTTP01 {
			continue
		}
		// RFC 8555, section 8.1: base64url
		rest := strings.Trim(c.Token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
		if c.Token == "" || rest != "" || store.CheckName(c.Token) != nil {
			return protocol.Challenge{}, errors.New("the CA gave a challenge with a token that is none")
		}
		return c, nil
	}
	return protocol.Challenge{}, errors.New("the CA offers no " + protocol.ChallengeTypeHTTP01 + " challenge")
}

// present writes what is to be answered. The record may be there already, of an earlier try at the same authorization
// that ended badly.
func (i *Issuer) present(ctx context.Context, key, answer string) error {
	for {
		_, err := i.o.Store.Save(ctx, store.Record{Key: key, Value: []byte(answer)})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		there, err := i.o.Store.Load(ctx, key)
		if err == nil && string(there.Value) == answer {
			return nil
		}
		if err == nil {
			there.Value = []byte(answer)
			_, err = i.o.Store.Save(ctx, there)
		}
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
}

// withdraw removes what present wrote, whatever has become of the order. What it cannot remove, sweep does.
func (i *Issuer) withdraw(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	if err := i.o.Store.Delete(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) {
		i.o.Log.Debug("an ACME challenge stays in the store for a while", "err", err)
	}
}

// settle waits until every instance can be expected to have seen what was written.
func (i *Issuer) settle(ctx context.Context) error {
	timer := time.NewTimer(max(i.o.Settle, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sweep removes challenges that instances that died have left behind.
func (i *Issuer) sweep(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	seen := map[string]string{} // versions, by key
	for {
		now := map[string]string{}
		for _, record := range i.challenges(ctx) {
			if version, before := seen[record.Key]; !before || version != record.Version {
				now[record.Key] = record.Version
				continue
			}
			i.withdraw(ctx, record.Key)
		}
		seen = now
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// challenges gives those that the store has, none where ctx ends before it says.
func (i *Issuer) challenges(ctx context.Context) (records []store.Record) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	told := false
	_ = i.o.Store.Follow(ctx, certs.ChallengePrefix, func(all []store.Record) { // it returns nil when ctx ends
		if !told {
			told, records = true, all
		}
		enough()
	})
	return records
}

package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	protocol "github.com/mholt/acmez/v3/acme"

	"github.com/tricot-proxy/tricot/certs/store"
)

const (
	accountPrefix = "account/"
	// storePatience is how long a write, an unlock or a removal may take that is not ended by the caller's own end.
	storePatience = 10 * time.Second
)

// An account is one at the CA. It is immutable.
type account struct {
	url string
	as  protocol.Account // for the library
}

// An accountRecord is an account as the store has it.
type accountRecord struct {
	Directory string `json:"directory"`
	// URL is empty from the making of the key until the CA has answered, so that an instance that dies in between leaves
	// no account behind that nobody has the key of: the next one asks for the same key, and gets the same account.
	URL      string `json:"url"`
	Email    string `json:"email"`
	EABKeyID string `json:"eab_key_id"`
	KeyPEM   string `json:"key_pem"`
}

// obtainAccount gives the cluster's account. Where the store has none that will do, it is made under a lock.
func (i *Issuer) obtainAccount(ctx context.Context, client *protocol.Client, name string) (*account, *Error) {
	failed := func(err error) *Error {
		if cause := context.Cause(ctx); cause != nil {
			return &Error{Name: name, Doing: string(registering), Err: cause}
		}
		return &Error{Name: name, Doing: "use the account in the store", Cause: StoreFailed, Err: err}
	}
	record, _, err := i.loadAccount(ctx)
	if err != nil {
		return nil, failed(err)
	}
	if i.serves(record) {
		a, err := record.account()
		if err != nil {
			return nil, failed(i.unusable(err))
		}
		return a, nil
	}

	if err := i.refused.now(name, i.o.Now()); err != nil {
		return nil, err
	}
	lock, err := i.o.Store.Lock(ctx, lockOf(i.accountKey))
	if err != nil {
		return nil, failed(err)
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
		defer cancel()
		if err := lock.Unlock(ending); err != nil {
			i.o.Log.Warn("the lock of the ACME account could not be given back", "err", err)
		}
	}()
	ctx, release := whileHeld(ctx, lock)
	defer release()
	a, refused, err := i.makeAccount(ctx, client, name, lock)
	if err != nil {
		return nil, failed(err)
	}
	return a, refused
}

// lockOf is the name of the lock for an account's key. It is no certificate's: no host name has a "~", and no address the
// rest.
func lockOf(accountKey string) string { return strings.ReplaceAll(accountKey, "/", "~") }

// makeAccount looks again, under the lock, and has the CA make an account.
func (i *Issuer) makeAccount(
	ctx context.Context, client *protocol.Client, name string, lock store.Lock,
) (*account, *Error, error) {
	record, version, err := i.loadAccount(ctx)
	if err != nil {
		return nil, nil, err
	}
	if i.serves(record) {
		a, err := record.account()
		if err != nil {
			return nil, nil, i.unusable(err)
		}
		return a, nil, nil
	}
	if record.URL != "" || record.KeyPEM == "" || record.EABKeyID != i.o.EAB.id() {
		if version, record, err = i.beginAccount(ctx, lock, version); err != nil {
			return nil, nil, err
		}
	}
	a, err := record.account()
	if err != nil {
		return nil, nil, i.unusable(err)
	}
	a.as.Contact = []string{"mailto:" + i.o.Email}
	var made protocol.Account
	if err := i.call(ctx, registering, name, func(ctx context.Context) (err error) {
		if i.o.EAB != nil {
			eab := protocol.EAB{KeyID: i.o.EAB.KeyID, MACKey: i.o.EAB.HMACKey}
			if err := a.as.SetExternalAccountBinding(ctx, client, eab); err != nil {
				return err
			}
		}
		made, err = client.NewAccount(ctx, a.as)
		if err == nil && (made.Location == "" || made.Status != "" && made.Status != protocol.StatusValid) {
			err = fmt.Errorf("the CA gave an account with the status %q and the URL %q", made.Status, made.Location)
		}
		return err
	}); err != nil {
		return nil, err, nil
	}
	record.URL, record.Email = made.Location, i.o.Email
	if _, err := i.saveAccount(ctx, lock, record, version); err != nil {
		return nil, nil, err
	}
	i.o.Log.Info("ACME account made", "account", record.URL, "directory", record.Directory)
	if a, err = record.account(); err != nil {
		return nil, nil, err
	}
	return a, nil, nil
}

// beginAccount writes a new key, before the CA sees it.
func (i *Issuer) beginAccount(ctx context.Context, lock store.Lock, version string) (string, accountRecord, error) {
	key, err := P256.generate() // which every CA has to take: RFC 8555, section 6.2
	if err != nil {
		return "", accountRecord{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return "", accountRecord{}, err
	}
	record := accountRecord{
		Directory: i.o.Directory, Email: i.o.Email, EABKeyID: i.o.EAB.id(), KeyPEM: string(keyPEM),
	}
	version, err = i.saveAccount(ctx, lock, record, version)
	return version, record, err
}

// serves says whether a record has an account that will do.
func (i *Issuer) serves(record accountRecord) bool {
	return record.URL != "" && record.URL != i.gone && (i.o.EAB == nil || record.EABKeyID == i.o.EAB.KeyID)
}

func (i *Issuer) unusable(err error) error {
	return fmt.Errorf("what is under %s cannot be used: %w (delete it there to have a new one made)", i.accountKey, err)
}

// loadAccount gives the record with its version; both are empty where there is none. What is there and cannot be read is
// an error: it is not replaced by one who only lacks the key that it is sealed with.
func (i *Issuer) loadAccount(ctx context.Context) (record accountRecord, version string, err error) {
	there, err := i.o.Store.Load(ctx, i.accountKey)
	if errors.Is(err, store.ErrNotFound) {
		return accountRecord{}, "", nil
	}
	if err != nil {
		return accountRecord{}, "", err
	}
	if json.Unmarshal(there.Value, &record) != nil { // the decoder's error may quote the key
		return accountRecord{}, "", i.unusable(errors.New("it is not JSON as it should be"))
	}
	if record.Directory != i.o.Directory {
		return accountRecord{}, "", i.unusable(fmt.Errorf("it is for the directory %q", record.Directory))
	}
	return record, there.Version, nil
}

func (i *Issuer) saveAccount(
	ctx context.Context, lock store.Lock, record accountRecord, version string,
) (newVersion string, err error) {
	value, err := json.Marshal(record)
	if err != nil {
		return "", err
	}
	saved, err := lock.Save(ctx, store.Record{Key: i.accountKey, Value: value, Version: version})
	return saved.Version, err
}

func (r accountRecord) account() (*account, error) {
	key, err := decodeKey(r.KeyPEM)
	if err != nil {
		return nil, fmt.Errorf("key_pem: %w", err)
	}
	return &account{url: r.URL, as: protocol.Account{
		Status: protocol.StatusValid, TermsOfServiceAgreed: true, Location: r.URL, PrivateKey: key,
	}}, nil
}

// whileHeld gives a context that ends when a lock is lost. Release ends it too, and waits for what watches the lock.
func whileHeld(ctx context.Context, lock store.Lock) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lock.Lost():
			cancel(store.ErrLockLost)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-watched
	}
}

// id is the key ID, "" where there is no binding.
func (e *EAB) id() string {
	if e == nil {
		return ""
	}
	return e.KeyID
}

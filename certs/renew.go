package certs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tricot-proxy/tricot/certs/store"
)

// Renew orders a certificate for a name whatever the store has, and writes it there. It waits for the name's lock until
// ctx ends, so that it may be used beside running instances, whose order is finished first, and which serve what it has
// written within a second. A failure is noted in the store as those of the instances are; one that is there already does
// not keep it from trying. The keeper need neither run nor want the name.
func (k *Keeper) Renew(ctx context.Context, name string) error {
	name = exact(name)
	if err := k.renew(ctx, name); err != nil {
		return fmt.Errorf("renew the certificate of %q: %w", name, err)
	}
	return nil
}

func (k *Keeper) renew(ctx context.Context, name string) error {
	if strings.Contains(name, "*") {
		return errors.New("it is a wildcard: expected one name")
	}
	if err := store.CheckKey(key(name)); err != nil {
		return err
	}
	if signer, reason := k.signer(name); signer == nil {
		return fmt.Errorf("the issuer %s does not sign for it: %s", k.issuer.Name(), reason)
	}
	lock, err := k.store.Lock(ctx, lockName(name))
	if err != nil {
		return fmt.Errorf("wait for its lock: %w", err)
	}
	return k.under(ctx, lock, order{name: name, forced: true}).err
}

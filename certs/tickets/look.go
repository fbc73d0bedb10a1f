package tickets

import (
	"context"
	"errors"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// A result says how a look into the store went.
type result struct {
	keys keys // of the store; nil where another instance was faster, of which Follow tells
	err  error
}

// look begins a look into the store where that is to get new keys, and none is under way.
func (l *loop) look(ctx context.Context) {
	if !l.known || l.busy || !l.looked.IsZero() && time.Since(l.looked) < review {
		return
	}
	if now := l.now(); !l.missing && !l.shared.lack(now.Add(-l.patience)) && len(l.shared.usable(now)) > 0 {
		return
	}
	l.busy, l.looked = true, time.Now()
	last := l.shared
	l.looking.Go(func() { l.results <- l.renew(ctx, last) })
}

// renew sees to it that the store has a key for now and the next one, and gives its keys. A record that cannot be read is
// replaced, by what was last known of it as far as that is of use. So is not one that was deleted: somebody may have done
// that because the keys are known to others.
func (l *loop) renew(ctx context.Context, last keys) result {
	there, err := l.store.Load(ctx, Key)
	now := l.now()
	switch {
	case errors.Is(err, store.ErrNotFound):
		there, last = store.Record{}, nil
	case err != nil && there.Version == "":
		return result{err: err}
	default: // an error that comes with a version allows it to be replaced
		var found keys
		if err == nil {
			found, err = decode(there.Value)
		}
		if err != nil {
			l.blame(there, err)
			break
		}
		if last = found; !last.lack(now) {
			return result{keys: last}
		}
	}
	renewed := last.extended(now)
	value, err := renewed.encode()
	if err != nil {
		return result{err: err}
	}
	_, err = l.store.Save(ctx, store.Record{Key: Key, Value: value, Version: there.Version})
	switch {
	case errors.Is(err, store.ErrConflict):
		return result{}
	case err != nil:
		return result{err: err}
	}
	l.log.Info("session ticket keys renewed", "next", renewed[0].from)
	return result{keys: renewed}
}

// blame tells the log once of a record that cannot be read.
func (l *loop) blame(there store.Record, err error) {
	if l.blamed != there.Version {
		l.blamed = there.Version
		l.log.Warn("the session ticket keys in the store are damaged and will be replaced", "record", Key, "err", err)
	}
}

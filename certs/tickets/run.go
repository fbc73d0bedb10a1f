package tickets

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tricot-proxy/tricot/certs/store"
)

const (
	// review is how often it is looked whether another key is to encrypt, or a new one to be made, and the shortest time
	// between two tries to make one. Nothing depends on the minute; timers know nothing of a clock that is set, and
	// instances that cannot agree do no harm to the store at this pace.
	review = time.Minute
	// settled is how long no key of a wrong clock was seen when the log is told that this is over.
	settled = time.Hour
)

// A loop is [Keys] at work: one goroutine that knows all keys, and one for a look into the store that is under way.
type loop struct {
	*Keys
	told    atomic.Pointer[[]store.Record] // what Follow has told; nil: nothing new
	changed chan struct{}                  // pokes the loop after that

	shared  keys // of the store, as last known
	own     keys
	inForce [][32]byte

	known    bool      // the store has been read
	missing  bool      // and has no keys, or none that can be read
	troubled bool      // the log knows that the keys cannot be shared
	skewed   time.Time // when a key of a wrong clock was last seen; the zero time: the log knows of none

	looking sync.WaitGroup
	busy    bool
	looked  time.Time // when the last look began
	results chan result
	blamed  string // the version of a record that the log knows cannot be read; for looks alone
}

// Run keeps the keys until ctx ends, and returns nil when everything that it began has ended. It returns an error only
// where the store cannot be followed at all. It is called once.
func (k *Keys) Run(ctx context.Context) error {
	l := &loop{Keys: k, own: k.first, changed: make(chan struct{}, 1), results: make(chan result, 1)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return k.store.Follow(ctx, prefix, func(records []store.Record) {
			l.told.Store(&records)
			select {
			case l.changed <- struct{}{}:
			default:
			}
		})
	})
	group.Go(func() error {
		l.run(ctx)
		return nil
	})
	return group.Wait()
}

func (l *loop) run(ctx context.Context) {
	defer l.looking.Wait()
	timer := time.NewTimer(review)
	defer timer.Stop()
	for {
		l.publish()
		l.look(ctx)
		timer.Reset(review)
		select {
		case <-ctx.Done():
			return
		case <-l.changed:
			l.follow(*l.told.Load())
		case r := <-l.results:
			l.busy = false
			if ctx.Err() == nil {
				l.finish(r)
			}
		case <-timer.C:
		}
	}
}

// publish puts in force what is to be by now: the keys of the store, and for what it encrypted without them, its own.
func (l *loop) publish() {
	now := l.now()
	shared := l.shared.usable(now)
	l.own = l.own.usable(now)
	if len(shared) == 0 && (len(l.own) == 0 || !now.Before(l.own[0].from.Add(Period))) {
		l.own = slices.Insert(l.own, 0, newKey(now))
	}
	secrets := slices.Concat(shared.inForce(now), l.own.inForce(now))
	if !slices.Equal(secrets, l.inForce) {
		l.inForce = secrets
		l.holder.SetSessionTicketKeys(secrets)
	}
	if !l.skewed.IsZero() && now.Sub(l.skewed) >= settled {
		l.skewed = time.Time{}
		l.log.Info("session ticket keys are no longer made by a clock that is wrong")
	}
}

// follow takes the keys that the store has. Where it has none, what was known stays in force until there are others.
func (l *loop) follow(records []store.Record) {
	l.known, l.missing = true, true
	for _, record := range records {
		if record.Key != Key {
			continue
		}
		if shared, err := decode(record.Value); err == nil { // else a look says what is wrong
			l.take(shared)
		}
	}
}

// finish takes what a look has found.
func (l *loop) finish(r result) {
	switch {
	case r.err != nil:
		if !l.troubled {
			l.troubled = true
			l.log.Error("session ticket keys cannot be shared: before long, clients resume at this instance only",
				"record", Key, "err", r.err)
		}
		l.open()
	case r.keys != nil:
		l.take(r.keys)
	}
}

func (l *loop) take(shared keys) {
	l.shared, l.missing = shared, false
	if l.troubled {
		l.troubled = false
		l.log.Info("session ticket keys are shared again")
	}
	now := l.now()
	if late := shared[0].from; late.After(now.Add(horizon)) {
		if l.skewed.IsZero() {
			l.log.Warn("a session ticket key was made by a clock that is wrong, here or at another instance",
				"from", late, "now", now.UTC())
		}
		l.skewed = now
	}
	if len(shared.usable(now)) > 0 {
		l.open()
	}
}

// open closes what [Keys.Ready] gave, with the keys in force.
func (l *loop) open() {
	select {
	case <-l.ready:
	default:
		l.publish()
		close(l.ready)
	}
}

package tickets

import (
	"cmp"
	"crypto/rand"
	"slices"
	"time"
)

const (
	// lead is how long before its use a key is published at least, where another still encrypts.
	lead = 10 * time.Minute
	// horizon is how far in the future a key may begin. One that begins later was made by somebody whose clock is wrong.
	horizon = Lifetime
	// maxPatience bounds [Keys].patience. It leaves most of a period in which the next key is known.
	maxPatience = time.Hour
)

// A key is a secret and the time from which it encrypts. Which one encrypts now, every instance decides by its own clock;
// they all open what any of them encrypts.
type key struct {
	from   time.Time
	secret [32]byte
}

func newKey(from time.Time) key {
	k := key{from: from.UTC().Truncate(time.Second)}
	_, _ = rand.Read(k.secret[:]) // never fails
	return k
}

// keys are sorted, the latest first.
type keys []key

func (ks keys) sort() {
	slices.SortStableFunc(ks, func(a, b key) int { return cmp.Or(b.from.Compare(a.from), slices.Compare(a.secret[:], b.secret[:])) })
}

// usable gives those that may encrypt or open now, or will.
func (ks keys) usable(now time.Time) keys {
	var some keys
	for _, k := range ks {
		if now.Before(k.from.Add(Lifetime)) && !k.from.After(now.Add(horizon)) {
			some = append(some, k)
		}
	}
	return some
}

// lack says that no key that can be used begins after now.
func (ks keys) lack(now time.Time) bool {
	usable := ks.usable(now)
	return len(usable) == 0 || !usable[0].from.After(now)
}

// extended gives the usable keys, and before them what is missing: a key for now, and one for after that. They are no more
// than a record may have.
func (ks keys) extended(now time.Time) keys {
	all := ks.usable(now)
	if len(all) == 0 {
		all = keys{newKey(now)}
	}
	if latest := all[0].from; !latest.After(now) {
		from := latest.Add(Period)
		if soonest := now.Add(lead); from.Before(soonest) {
			from = soonest
		}
		all = slices.Insert(all, 0, newKey(from))
	}
	return all[:min(len(all), maxKeys)]
}

// inForce gives the secrets of usable keys in the order in which crypto/tls takes them: the one that encrypts, then the
// others. It encrypts with the latest that has begun; if none has by this clock, then with the first that will, which the
// others know too.
func (ks keys) inForce(now time.Time) [][32]byte {
	if len(ks) == 0 {
		return nil
	}
	at := slices.IndexFunc(ks, func(k key) bool { return !k.from.After(now) })
	if at < 0 {
		at = len(ks) - 1
	}
	secrets := [][32]byte{ks[at].secret}
	for _, k := range ks[at+1:] { // more tickets are of these
		secrets = append(secrets, k.secret)
	}
	for _, k := range ks[:at] {
		secrets = append(secrets, k.secret)
	}
	return secrets
}

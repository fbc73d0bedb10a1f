package acme

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	protocol "github.com/mholt/acmez/v3/acme"
)

// RFC 9773, section 4.3, wants bounds on what the CA says about when to look again, and has these.
const (
	minLook = time.Minute
	maxLook = 24 * time.Hour
	// defaultLook is the time to the next look where the CA says nothing, and the longest between two tries.
	defaultLook = 6 * time.Hour
)

// unaskedFor is how long renewal information is followed that nobody asks for. [certs.Keeper] asks hourly.
const unaskedFor = 3 * time.Hour

// renewals is what is known of when certificates are to be renewed.
type renewals struct {
	mu   sync.Mutex
	byID map[string]*renewal // by the identifier of RFC 9773, section 4.1
	poke chan struct{}       // has room for one: there is a new one
}

// A renewal is what is known of one certificate.
type renewal struct {
	name   string
	id     string
	share  float64   // of the window that is before the renewal
	ends   time.Time // the certificate
	asked  time.Time // by RenewAt, last
	look   time.Time // when the CA is to be asked next
	failed int       // looks in a row

	known      bool // the CA has given a window
	start, end time.Time
	explained  string // the URL of an explanation that was logged
}

func (r *renewals) init() {
	r.byID, r.poke = map[string]*renewal{}, make(chan struct{}, 1)
}

// RenewAt is when the CA suggests to renew a certificate of a name: a time in its window, at random over certificates but
// always the same for one, so that all instances mean the same time. It is zero where the CA has not said yet, or says
// nothing. It is for the field of this name in [certs.Options], does not block, and has [Issuer.Run] ask the CA.
func (i *Issuer) RenewAt(name string, leaf *x509.Certificate) time.Time {
	if leaf == nil || len(leaf.AuthorityKeyId) == 0 || leaf.SerialNumber == nil {
		return time.Time{}
	}
	id, err := protocol.ARIUniqueIdentifier(leaf)
	if err != nil {
		return time.Time{}
	}
	now := i.o.Now()
	if !now.Before(leaf.NotAfter) {
		return time.Time{}
	}
	i.renewals.mu.Lock()
	defer i.renewals.mu.Unlock()
	r := i.renewals.byID[id]
	if r == nil {
		r = &renewal{name: name, id: id, share: shareOf(leaf), ends: leaf.NotAfter, look: now}
		i.renewals.byID[id] = r
		select {
		case i.renewals.poke <- struct{}{}:
		default:
		}
	}
	r.asked = now
	if !r.known {
		return time.Time{}
	}
	return r.start.Add(time.Duration(r.share * float64(r.end.Sub(r.start))))
}

// shareOf gives each certificate a number from 0 up to 1.
func shareOf(leaf *x509.Certificate) float64 {
	sum := sha256.Sum256(leaf.Raw)
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// predecessor is the identifier of the certificate that an order for a name replaces: the last that was asked about, where
// the CA is known to know it. It is empty where there is none.
func (r *renewals) predecessor(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var last *renewal
	for _, one := range r.byID {
		if one.name == name && (last == nil || one.asked.After(last.asked)) {
			last = one
		}
	}
	if last == nil || !last.known {
		return ""
	}
	return last.id
}

// follow asks for renewal information when it is due.
func (i *Issuer) follow(ctx context.Context) {
	troubled := false
	timer := time.NewTimer(unaskedFor)
	defer timer.Stop()
	for ctx.Err() == nil {
		for {
			next := i.renewals.due(i.o.Now())
			if next == nil || ctx.Err() != nil {
				break
			}
			err := i.look(ctx, next)
			switch {
			case err == nil && troubled:
				troubled = false
				i.o.Log.Info("the CA gives renewal information again")
			case err != nil && ctx.Err() == nil && !troubled:
				troubled = true
				i.o.Log.Warn("the CA gives no renewal information: certificates are renewed at half of their lifetime",
					"err", err)
			}
		}
		timer.Reset(i.renewals.wait(i.o.Now()))
		select {
		case <-ctx.Done():
		case <-i.renewals.poke:
		case <-timer.C:
		}
	}
}

// due gives a certificate that the CA is to be asked about now, and drops those that nobody asks for.
func (r *renewals) due(now time.Time) *renewal {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, one := range r.byID {
		if now.Sub(one.asked) > unaskedFor || !now.Before(one.ends) {
			delete(r.byID, id)
			continue
		}
		if !now.Before(one.look) {
			return one
		}
	}
	return nil
}

// wait is the time until something is due.
func (r *renewals) wait(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := unaskedFor
	for _, one := range r.byID {
		wait = min(wait, one.look.Sub(now))
	}
	return max(wait, 0)
}

// look asks the CA about one certificate, and says when to do so next. That the CA does not know the certificate is no
// error: another CA made it.
func (i *Issuer) look(ctx context.Context, r *renewal) *Error {
	info, next, err := i.inform(ctx, r.id)
	now := i.o.Now()
	i.renewals.mu.Lock()
	defer i.renewals.mu.Unlock()
	if err != nil {
		pause := min(minLook<<min(r.failed, 10), defaultLook)
		r.failed++
		// Not all at once, when the CA is back.
		r.look = now.Add(pause + time.Duration(rand.Float64()*float64(pause)/4))
		if err.Until.After(r.look) {
			r.look = err.Until
		}
		return err
	}
	r.failed, r.look = 0, now.Add(next)
	if info == nil {
		r.known = false
		return nil
	}
	r.known, r.start, r.end = true, info.SuggestedWindow.Start, info.SuggestedWindow.End
	if at := oneLine(info.ExplanationURL); at != "" && at != r.explained {
		i.o.Log.Info("the CA explains when a certificate is to be renewed", "name", r.name, "url", at,
			"from", r.start, "to", r.end)
		r.explained = at
	}
	return nil
}

// inform reads the renewal information of a certificate, and how long it holds; nil: the CA has none.
func (i *Issuer) inform(ctx context.Context, id string) (*protocol.RenewalInfo, time.Duration, *Error) {
	directory, err := i.directory(ctx)
	if err != nil {
		return nil, 0, err
	}
	if directory.RenewalInfo == "" {
		return nil, maxLook, nil
	}
	var info *protocol.RenewalInfo
	next := defaultLook
	err = i.call(ctx, informing, "", func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, directory.RenewalInfo+"/"+id, nil)
		if err != nil {
			return err
		}
		r.Header.Set("User-Agent", userAgent)
		answer, err := i.http.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("HTTP %d", answer.StatusCode)
		}
		info, err = decodeInfo(body)
		if until := retryAfter(answer.Header, i.o.Now()); !until.IsZero() {
			next = min(max(until.Sub(i.o.Now()), minLook), maxLook)
		}
		return err
	})
	if err != nil && err.Status >= 400 && err.Status < 500 && err.Cause != RateLimited {
		return nil, maxLook, nil
	}
	return info, next, err
}

// decodeInfo reads renewal information (RFC 9773, section 4.2).
func decodeInfo(body []byte) (*protocol.RenewalInfo, error) {
	var info protocol.RenewalInfo
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&info); err != nil {
		return nil, fmt.Errorf("the renewal information is not JSON as it should be: %w", err)
	}
	if !info.HasWindow() || !info.SuggestedWindow.Start.Before(info.SuggestedWindow.End) {
		return nil, errors.New("the renewal information has no window that can be used")
	}
	return &info, nil
}

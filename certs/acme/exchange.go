package acme

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	protocol "github.com/mholt/acmez/v3/acme"
)

const (
	userAgent = "tricot"
	// maxAnswer is the number of bytes in the longest answer that is read from a CA. A chain has some thousand.
	maxAnswer = 1 << 20
	// maxRetryAfter is the longest time for which a CA is taken at its word. Let's Encrypt's longest limit is a week.
	maxRetryAfter = 30 * 24 * time.Hour
)

// An exchange is what goes between this issuer and the CA in one call of the library. The library repeats requests, which
// is welcome after a hiccup, but it does so a quarter of a second later whatever Retry-After says, repeats a request whose
// answer was lost though the CA may have acted on it, and hides from its caller what the CA answered. So the transport
// below it notes that down, and ends the call by its context where there shall be no further request.
type exchange struct {
	ctx  context.Context // of the call
	stop context.CancelFunc
	once bool // requests by POST are not sent again once they may have arrived

	mu      sync.Mutex
	refusal *refusal // the last answer, where it was an error
	failure error    // the last, where there was no answer
}

// A refusal is an answer of the CA with an error status.
type refusal struct {
	status  int
	problem *protocol.Problem // nil: the answer had none
	until   time.Time         // Retry-After; zero: there was none
}

type exchangeKey struct{}

// exchanging gives a context for one call of the library. The exchange ends with finish.
func exchanging(ctx context.Context, once bool) (_ context.Context, x *exchange, finish context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	x = &exchange{ctx: ctx, stop: stop, once: once}
	return context.WithValue(ctx, exchangeKey{}, x), x, stop
}

func (x *exchange) outcome() (*refusal, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.refusal, x.failure
}

func (x *exchange) note(r *refusal, failure error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refusal, x.failure = r, failure
}

// call makes one call of the library, and explains its error.
func (i *Issuer) call(ctx context.Context, s stage, name string, f func(context.Context) error) *Error {
	within, x, finish := exchanging(ctx, s.once())
	defer finish()
	err := f(within)
	if err == nil {
		return nil
	}
	return explain(ctx, s, name, err, x, i.o.Now())
}

// A watcher is the transport that keeps notes for exchanges.
type watcher struct {
	base *http.Transport
	now  func() time.Time
}

// RoundTrip is as [http.RoundTripper] says.
func (w *watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	answer, err := w.base.RoundTrip(r)
	if err != nil {
		if x != nil && x.ctx.Err() == nil {
			x.note(nil, err)
			if x.once && r.Method == http.MethodPost && !unsent(err) {
				x.stop()
			}
		}
		return nil, err
	}
	answer.Body = &bounded{ReadCloser: answer.Body, left: maxAnswer}
	if x == nil {
		return answer, nil
	}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if answer.StatusCode < 400 {
		x.note(nil, nil)
		enough, ok := r.Context().Value(chainKey{}).(context.CancelFunc)
		if ok && kind == "application/pem-certificate-chain" {
			answer.Body = &whole{ReadCloser: answer.Body, read: enough}
		}
		return answer, nil
	}
	refused := &refusal{status: answer.StatusCode, until: retryAfter(answer.Header, w.now())}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		x.note(refused, nil)
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if kind == "application/problem+json" {
		var problem protocol.Problem
		if json.Unmarshal(body, &problem) == nil {
			refused.problem = &problem
		}
	}
	x.note(refused, nil)
	if !refused.until.IsZero() {
		x.stop()
	}
	return answer, nil
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (w *watcher) CloseIdleConnections() { w.base.CloseIdleConnections() }

// unsent says whether a request failed before any of it can have arrived.
func unsent(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial"
}

// A bounded body ends with an error where it is too long.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("the answer is too long")
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// retryAfter is the time that a Retry-After field (RFC 9110, section 10.2.3) gives; zero: none.
func retryAfter(header http.Header, now time.Time) time.Time {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return time.Time{}
	}
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil || errors.Is(err, strconv.ErrRange) {
		seconds = min(seconds, uint64(maxRetryAfter/time.Second))
		return now.Add(time.Duration(seconds) * time.Second)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return time.Time{}
	}
	return within(date, now)
}

// within bounds a time that a CA names: not before now, and no later than maxRetryAfter.
func within(at, now time.Time) time.Time {
	if at.Before(now) {
		return now
	}
	if most := now.Add(maxRetryAfter); at.After(most) {
		return most
	}
	return at
}

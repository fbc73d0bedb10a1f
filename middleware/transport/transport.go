// Package transport is the stage that sends a request to its backend and streams the answer back. It is the last one.
//
// It needs the balance stage before it, which sets State.Backend, and sets State.Sent, State.Answered and State.Failure;
// for an upgraded connection also State.Status and State.Bytes.
//
// What it keeps of a message, and what it does not (RFC 9110):
//
//   - The request's target and Host go to the backend as the client sent them; a client that sent no Host (HTTP/1.0)
//     gets the backend's address for one.
//   - Hop-by-hop fields end here, both ways (section 7.6.1): Connection and what it names, Keep-Alive, Proxy-*, TE but
//     for "trailers", Transfer-Encoding, Upgrade unless it is one. Trailers are kept both ways (section 6.5).
//   - Bodies are streamed, both at the same time where a backend answers early. A response without a known length, and
//     text/event-stream, is flushed with each piece that arrives. Nothing is compressed, unpacked, or guessed.
//   - Informational responses are passed on (section 15.2), 100 only to a client that waits for it, whose body is not
//     read before (section 10.1.1).
//   - An upgrade over HTTP/1.1 (section 7.8) becomes a tunnel that ends with the first side that goes; each side's end
//     of sending is passed on before. "h2c" is not one: it would carry requests past the rules (RFC 9113, section 3.1).
//   - CONNECT is for forward proxies and gets a 501.
//   - X-Forwarded-For, -Proto and -Host say who asked; see [Options] for whose word counts. Of a peer that is not
//     trusted, Forwarded (RFC 7239), X-Real-Ip, X-Forwarded-Port and X-Forwarded-Server are dropped, as are these names
//     spelled with "_" of any peer, which many backends cannot tell apart.
//
// Backends with the scheme [pipeline.HTTPS] get HTTP/2 where they ask for it, and whatever certificate they show is
// taken. They are asked for by the name that the client asked for (SNI).
//
// A backend that cannot be reached or gives no valid answer is a 502, one that is too slow a 504, each with a line in the
// log that names it and the cause. Where State.MayRetry is set and the failure is Repeatable, it is only left in
// State.Failure. When the client left, or the backend ended in the middle of its answer, the client's connection is cut
// with [http.ErrAbortHandler], so that nothing incomplete looks whole.
package transport

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is what settings call the stage.
const Name = "transport"

// Needs is the stage that has to be before it.
const Needs = "balance"

// Options are the stage's settings. A zero value stands for the default given with it.
type Options struct {
	// TrustedProxies are the peers whose X-Forwarded-* fields are believed: to X-Forwarded-For the peer is appended, and
	// X-Forwarded-Proto and -Host are kept where they are there. For all others the three are made afresh. Empty: nobody
	// is trusted.
	TrustedProxies []netip.Prefix
	// ConnectTimeout is for the connection to a backend, the TLS handshake included: 5 s.
	ConnectTimeout time.Duration
	// ResponseHeaderTimeout is from the end of the request to the head of the answer: 60 s.
	ResponseHeaderTimeout time.Duration
	// ContinueTimeout is how long a backend may take to answer "Expect: 100-continue" before it is sent the body
	// unasked: 1 s.
	ContinueTimeout time.Duration
	// IdleTimeout is how long an unused connection to a backend is kept: 90 s.
	IdleTimeout time.Duration
	// MaxIdlePerBackend is how many unused connections are kept for each backend, and for each name that it is asked
	// for over TLS: 256.
	MaxIdlePerBackend int
	// Log gets a warning for each request that a backend failed to answer. Nil: none.
	Log *slog.Logger
}

func (o *Options) complete() error {
	for _, d := range []struct {
		name     string
		value    *time.Duration
		fallback time.Duration
	}{
		{"ConnectTimeout", &o.ConnectTimeout, 5 * time.Second},
		{"ResponseHeaderTimeout", &o.ResponseHeaderTimeout, time.Minute},
		{"ContinueTimeout", &o.ContinueTimeout, time.Second},
		{"IdleTimeout", &o.IdleTimeout, 90 * time.Second},
	} {
		if *d.value < 0 {
			return fmt.Errorf("%s: %s is %s, and has to be positive, or 0 for the default", Name, d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if o.MaxIdlePerBackend < 0 {
		return fmt.Errorf("%s: MaxIdlePerBackend is %d, and has to be positive, or 0 for the default", Name, o.MaxIdlePerBackend)
	}
	if o.MaxIdlePerBackend == 0 {
		o.MaxIdlePerBackend = 256
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// New gives the stage, which never calls what comes after it. It may be used by many goroutines at once. The error is for
// a negative option or a prefix that is none.
func New(options Options) (func(next http.Handler) http.Handler, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	trusted, err := parsePeers(options.TrustedProxies)
	if err != nil {
		return nil, err
	}
	p := &proxy{upstream: newHTTPUpstream(options), trusted: trusted, log: options.Log,
		buffers: &sync.Pool{New: func() any { return new(buffer) }}}
	return func(http.Handler) http.Handler { return p }, nil
}

// A buffer is what content is copied through.
type buffer [32 << 10]byte

// upstream does the round trip: everything that touches a connection to a backend, and nothing else.
type upstream interface {
	// roundTrip sends a request to a backend and gives the head of the answer, whose body the caller closes. For a 101
	// that body is the connection, an [io.ReadWriteCloser]. The request's target is its RequestURI, byte for byte; the
	// URL is not set.
	//
	// It reports to the attempt as it goes. The request's body may be read for as long as the answer lasts.
	roundTrip(out *http.Request, to *pipeline.Backend, a *attempt) (*http.Response, error)
}

type proxy struct {
	upstream upstream
	trusted  peers
	buffers  *sync.Pool // of *buffer
	log      *slog.Logger
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state, w, r := pipeline.Enter(w, r)
	state.Failure, state.Sent, state.Answered = nil, time.Time{}, time.Time{}
	body := newRequestBody(r)
	x := &exchange{w: w, r: r, body: body, state: state, buffers: p.buffers, log: p.log}
	x.control = http.NewResponseController(w)
	if r.Method == http.MethodConnect {
		x.refuse(http.StatusNotImplemented, "501 not implemented: CONNECT is for forward proxies")
		return
	}
	if state.Backend == nil {
		x.fail(&pipeline.Failure{Err: errNoBackend, Status: http.StatusBadGateway})
		return
	}
	// Otherwise an HTTP/1.1 server reads the rest of the request before it sends the head of an early answer.
	_ = x.control.EnableFullDuplex()

	defer body.finish()
	upgrade := upgradeOf(r)
	attempt := newAttempt(w, r, body)
	state.Sent = time.Now()
	response, err := p.upstream.roundTrip(outgoing(r, state.Backend, body, upgrade, p.trusted), state.Backend, attempt)
	attempt.end()
	if err != nil {
		x.fail(attempt.failure(err))
		return
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		x.switchProtocols(response, upgrade)
		return
	}
	x.answer(response)
}

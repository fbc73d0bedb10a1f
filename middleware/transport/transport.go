// Package transport is the stage that sends a request to its backend and streams the answer back. It is the last one.
//
// It needs the balance stage before it, which sets State.Backend, and sets State.Sent, State.Answered and State.Failure;
// for an upgraded connection also State.Status and State.Bytes.
//
// What it keeps of a message, and what it does not (RFC 9110):
//
//   - The request's target and Host go to the backend as the client sent them; a client that sent no Host (HTTP/1.0)
//     gets the backend's address for one.
//   - Hop-by-hop fields end here, both ways (section 7.6.1): Connection and, of an answer, what it names (of a request,
//     [pipeline.Enter] has seen to that before the stages add theirs), Keep-Alive, Proxy-*, TE but for "trailers",
//     Transfer-Encoding, Upgrade unless it is one. Trailers are kept both ways (section 6.5).
//   - Bodies are streamed, both at the same time where a backend answers early, whatever it has taken by then;
//     only one that says that it is short (64 KiB) is read first as a whole. What has arrived of a response reaches the
//     client no later than when the backend pauses. Nothing is compressed, unpacked, or guessed.
//   - Informational responses are passed on (section 15.2), 100 only to a client that waits for it, whose body is not
//     read before (section 10.1.1).
//   - An upgrade over HTTP/1.1 (section 7.8) becomes a tunnel that ends with the first side that goes; each side's end
//     of sending is passed on before. "h2c" is not one: it would carry requests past the rules (RFC 9113, section 3.1).
//     A connection that has a SyscallConn is read through that.
//   - CONNECT is for forward proxies and gets a 501.
//   - X-Forwarded-For, -Proto and -Host say who asked; see [Options] for whose word counts. Of a peer that is not
//     trusted, Forwarded (RFC 7239), X-Real-Ip, X-Forwarded-Port and X-Forwarded-Server are dropped, as are these names
//     spelled with "_" of any peer, which many backends cannot tell apart.
//
// HTTP/1.1 (RFC 9112) is spoken by the stage itself: the handler's goroutine writes the request to a connection and reads
// the answer off it; [Connections] keeps those that are idle. One is used again only when request and answer have come to
// their ends, and nothing has been said on it since. Where it turns out to be closed, a request of which nothing was
// sent, or which is idempotent and whose body is still there as a whole, goes out once more on a new one. What package
// http1 refuses, a switch that nobody asked for, a head without end and too many 1xx make a 502, and end the connection.
// A request whose client leaves ends with its connection; that is not looked for in the first tenth of a second.
//
// A request holds two buffers of 4 KiB and a short body while it waits, that twice where the backend takes it slowly, and
// no more than 72 KiB while the answer's content flows, 32 KiB more while a long body does. An idle connection holds none,
// and a client that reads the last of its answer slowly keeps no connection. An upgraded one holds none while nothing
// comes, and 32 KiB for each direction in which something does.
//
// Backends with the scheme [pipeline.HTTPS] get HTTP/2 where they ask for it, and whatever certificate they show is
// taken. They are asked for by the name that the client asked for (SNI), and their TLS sessions are resumed. Those with
// [pipeline.H2C] get HTTP/2 without TLS (RFC 9113, section 3.3).
//
// HTTP/2 is net/http's, on connections that are kept by the same rules, which many requests share. It is held to what
// HTTP/1.1 is: a status or a length that is none, a second length, a transfer coding and a switch of protocols make a 502
// besides what net/http refuses. The connection then gets no further request, and ends with those that it has. Where one
// turns out to be closed that was used before, an idempotent request of whose body nothing was read goes out once more on a
// new one; what the backend says that it has not processed (RFC 9113, section 8.7) does so whatever its method.
//
// A backend that cannot be reached or gives no valid answer is a 502, one that is too slow a 504, each with a line in the
// log that names it and the cause; a request that HTTP/1.1 cannot carry (a space in the target) is a 400. Where
// State.MayRetry is set and the failure is Repeatable, it is only left in State.Failure. When the client left, or the
// backend ended in the middle of its answer, the client's connection is cut with [http.ErrAbortHandler], so that nothing
// incomplete looks whole.
package transport

import (
	"log/slog"
	"net/http"
	"net/netip"
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
	// ResponseHeaderTimeout is from the end of the request to the head of the answer: 60 s.
	ResponseHeaderTimeout time.Duration
	// ContinueTimeout is how long a backend may take to answer "Expect: 100-continue" before it is sent the body
	// unasked: 1 s.
	ContinueTimeout time.Duration
	// ProgressTimeout is how long an answer that has begun may stand still, and how long a backend may take no more of a
	// request: 5 min. It may last a quarter longer. It holds for a stream of gRPC too, but not for upgraded connections.
	ProgressTimeout time.Duration
	// Connections are those to the backends. The caller closes them. Nil: the stage makes its own, with the three options
	// that follow; they are not closed before their IdleTimeout.
	Connections *Connections
	// ConnectTimeout, IdleTimeout and MaxIdlePerBackend are those of [ConnectionOptions], where Connections is nil.
	ConnectTimeout, IdleTimeout time.Duration
	MaxIdlePerBackend           int
	// Log gets a warning for each request that a backend failed to answer. Nil: none.
	Log *slog.Logger
}

func (o *Options) complete() error {
	for _, d := range []struct {
		name     string
		value    *time.Duration
		fallback time.Duration
	}{
		{"ResponseHeaderTimeout", &o.ResponseHeaderTimeout, time.Minute},
		{"ContinueTimeout", &o.ContinueTimeout, time.Second},
		{"ProgressTimeout", &o.ProgressTimeout, 5 * time.Minute},
	} {
		if err := completeDuration(d.name, d.value, d.fallback); err != nil {
			return err
		}
	}
	if o.Connections == nil {
		var err error
		o.Connections, err = NewConnections(ConnectionOptions{
			ConnectTimeout: o.ConnectTimeout, IdleTimeout: o.IdleTimeout, MaxIdlePerBackend: o.MaxIdlePerBackend,
		})
		if err != nil {
			return err
		}
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
	p := &proxy{
		connections: options.Connections,
		http2:       newHTTP2Client(options),
		pools:       newPools(),
		limits:      limits{options.ResponseHeaderTimeout, options.ContinueTimeout, options.ProgressTimeout, leaving},
		trusted:     trusted,
		log:         options.Log,
	}
	return func(http.Handler) http.Handler { return p }, nil
}

type proxy struct {
	connections *Connections
	http2       *http2Client
	pools       *pools
	limits      limits
	trusted     peers
	log         *slog.Logger
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state, w, r := pipeline.Enter(w, r)
	state.Failure, state.Sent, state.Answered = nil, time.Time{}, time.Time{}
	x := p.pools.exchanges.Get().(*exchange)
	*x = exchange{proxy: p, w: w, r: r, body: newRequestBody(r), state: state}
	defer x.end()
	switch {
	case r.Method == http.MethodConnect:
		x.refuse(http.StatusNotImplemented, "501 not implemented: CONNECT is for forward proxies")
		return
	case state.Backend == nil:
		x.fail(&pipeline.Failure{Err: errNoBackend, Status: http.StatusBadGateway})
		return
	}
	if x.body != nil {
		// Otherwise an HTTP/1.1 server reads the rest of the request before it sends the head of an early answer.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	to := key{scheme: state.Backend.Scheme, address: state.Backend.Address}
	if to.scheme == pipeline.HTTPS {
		to.name = serverName(r, state.Backend)
	}
	s := p.connections.shelf(to)
	if to.scheme == pipeline.HTTP || to.scheme == pipeline.HTTPS && (s.http1.Load() || upgradeOf(r) != "") {
		x.overHTTP1(s, nil) // HTTP/2 has no upgrades
		return
	}
	x.overHTTP2(s)
}

// Package consul is the provider that takes the service instances from the catalog of Consul.
//
// # What it asks
//
// All that it asks are blocking queries, which wait in Consul until there is news; nothing is polled:
//
//   - /v1/catalog/services, once: every service with its tags;
//   - /v1/health/service/NAME, once for each service that has a tag for Tricot, which is one whose first word is "tricot"
//     or starts with "tricot-";
//   - /v1/catalog/node/NAME of this Tricot's own node, without its services, for its site; not where a site is set.
//
// So a catalog of ten thousand services, fifty of them with tags for Tricot, costs fifty-two waiting requests. Over plain
// HTTP each is a connection of its own, of which an agent takes 200 from one address (limits.http_max_conns_per_client).
// Where it refuses more, that is said once; https, which carries all of them over a few connections, or a higher limit is
// the remedy.
//
// A token needs node:read for the nodes and service:read for the services that are to be seen:
//
//	node_prefix ""    { policy = "read" }
//	service_prefix "" { policy = "read" }
//
// # What it publishes
//
// The instances with a tag for Tricot, ordered by service, node and id. An instance is healthy where all of its checks
// are passing, those of its node and maintenance mode included; "warning" is not passing. Its address is that of the
// service, else that of the node; its site is the metadata "site" of its node; its ID is the node's name and the
// service's id, which is unique on one node only, as in "node-1/web". An instance without a port or an address is
// reported once and left out. The sidecar proxy of an instance, which inherits its tags and speaks the mesh's TLS, is
// left out without a word.
//
// Changes are published together: when there have been none for [Options.Quiet], at the latest [Options.Latest] after
// the first. The first snapshot is published when all queries have answered, and [Options.Patience] after the list of
// services did at the latest, then without the services that have not.
//
// # When Consul is not well
//
// Whatever Consul does, the last good snapshot stays in force. Each query that fails is tried again with exponential
// backoff and jitter, and at once when another one that had failed works. One error is logged when trouble begins and one
// info when it is over for all queries, separately for a Consul that is away or answers nonsense, and for one that refuses
// and needs somebody to change something: token, certificates, limits.
//
// Indexes are used as Consul's documentation of blocking queries asks: one that goes backwards is reset, an answer that
// has not moved it changes nothing, and a query that returns early and brings nothing new is slowed down. Stale reads
// ([Options.AllowStale]) are for waiting only. The first read of a query, and that after trouble or after an index that
// went backwards, has Consul's strongest consistency, so that a server that lags behind, or that has just begun and not yet
// read its own log, never takes away what is known. Where such a read finds nothing, a second one has to confirm it. An
// answer of a server that knows no leader is trouble, and so is one that is empty because the token may see nothing.
//
// With [Options.SnapshotPath] the last snapshot is kept on disk too. Where Consul does not answer at the start, it is
// published, with the site of this Tricot's node; of a service that Consul then lists and says no more about, what the
// disk has of it is used until it does.
package consul

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/providers"
)

// Name is what settings and logs call the provider.
const Name = "consul"

// What is used where an option is not positive.
const (
	DefaultQuiet        = 10 * time.Millisecond
	DefaultLatest       = 100 * time.Millisecond
	DefaultWait         = time.Minute
	DefaultTimeout      = 10 * time.Second
	DefaultPatience     = time.Second
	DefaultRetryFloor   = 250 * time.Millisecond
	DefaultRetryCeiling = 5 * time.Second
)

// Options of a Provider. Only Client and, where Site is empty, Node are needed.
type Options struct {
	// Client talks to the agent; [Connect] makes one that is fit for it.
	Client *api.Client
	// Node is the name in Consul of the node that this Tricot runs on.
	Node string
	// Site is where this Tricot runs, by its settings. Empty: the metadata "site" of Node, which is then followed.
	Site string
	// Located is called, where Site is empty, when the site of Node becomes known and each time that it changes, empty
	// where it has none any more. It is called before the snapshot that arrived with the news is published, never twice
	// at once, and must not block. May be nil.
	Located func(site string)
	// AllowStale lets any server answer blocking queries, not only the leader. Tricot's own default is true.
	AllowStale bool
	// SnapshotPath is the file in which the last snapshot is kept, of mode 0600 in a directory that is made with mode 0700
	// where it is missing. Empty: it is not kept.
	SnapshotPath string
	// Log gets an error and an info when trouble with Consul begins and ends, and warnings about instances that are no use
	// and about the file. Nil: no log.
	Log *slog.Logger

	// Quiet is how long there have to be no changes before they are published, Latest how long the first of them waits
	// for that at most.
	Quiet, Latest time.Duration
	// Wait is how long a blocking query waits for news, at most ten minutes. Consul adds up to a sixteenth.
	Wait time.Duration
	// Timeout is how long an answer may take in addition, before Consul is taken for gone.
	Timeout time.Duration
	// Patience is how long Consul may be silent at the start before the file is published, and how long the first snapshot
	// waits for the health of each service once it is known which there are.
	Patience time.Duration
	// RetryFloor is about the time until the first retry of a query that failed; it doubles with each, to RetryCeiling.
	RetryFloor, RetryCeiling time.Duration
	// Now is the clock from which the age of the file is told; nil: time.Now.
	Now func() time.Time
}

// A Provider publishes what the catalog of Consul says.
type Provider struct {
	options Options
	trouble providers.TroubleBook
}

var _ providers.Provider = (*Provider)(nil)

// New makes a provider. It asks Consul nothing yet.
func New(o Options) (*Provider, error) {
	switch {
	case o.Client == nil:
		return nil, errors.New("consul: expected a client")
	case o.Node == "" && o.Site == "":
		return nil, errors.New("consul: expected the name of this Tricot's node, or its site")
	case o.Wait > 10*time.Minute:
		return nil, errors.New("consul: expected to wait for at most ten minutes")
	}
	for option, byDefault := range map[*time.Duration]time.Duration{
		&o.Quiet: DefaultQuiet, &o.Latest: DefaultLatest, &o.Wait: DefaultWait, &o.Timeout: DefaultTimeout,
		&o.Patience: DefaultPatience, &o.RetryFloor: DefaultRetryFloor, &o.RetryCeiling: DefaultRetryCeiling,
	} {
		if *option <= 0 {
			*option = byDefault
		}
	}
	o.RetryCeiling = max(o.RetryCeiling, o.RetryFloor)
	if o.Located == nil {
		o.Located = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Provider{options: o}, nil
}

// Name gives [Name].
func (*Provider) Name() string { return Name }

// Run publishes the services of the catalog, and again after each change that makes a difference, until ctx ends; it
// returns when all of its queries have ended and the last snapshot is on disk. It always returns nil.
func (p *Provider) Run(ctx context.Context, publish func(providers.Snapshot)) error {
	newCatalog(p.options, publish, &p.trouble).run(ctx)
	return nil
}

// Trouble is that Consul is away or refuses what it is asked.
func (p *Provider) Trouble() providers.Trouble { return p.trouble.Trouble() }

// Package file is the provider that takes the service instances from a file, for a machine without Consul:
//
//	services:
//	  - name: web
//	    address: 127.0.0.1      # a host name or an IP address, an IPv6 one without brackets
//	    port: 3000              # 1 to 65535
//	    node: ""                # optional, as are site, id and tags
//	    site: ""
//	    id: ""                  # web-127.0.0.1-3000 where it is left out
//	    tags:
//	      - tricot localhost
//	      - tricot-add-header X-Served-By web
//
// The file is one YAML document of at most 64 MiB, read strictly: an unknown key, a key given twice, a value of another
// type, and everything else that is not as above is a problem, and all of them are reported at once, each as an [Error]
// with its line. "services: []" is a valid list of no services; a file without content or without the key is none. All
// instances are healthy. What is wrong with a tag is no problem of the file's: the tag's own error is reported where tags
// are parsed, as it is for every provider.
//
// Ids are unique. Two services without an id have to differ in name, address or port. Where the id that a service gets
// from these is taken already, it gets "-2", "-3" and so on at its end.
//
// # Changes
//
// [Provider.Run] looks at the file at short intervals instead of asking the kernel for notifications, which miss network
// file systems, bind mounts and swapped symbolic links. So it does not matter whether the file is written in place or
// by rename, or is reached by symbolic links that change.
//
// A change of size, modification time or inode makes it read the file. What it read takes effect when the next look
// finds the same, so that a file half-written in place is not taken for the whole; one that keeps changing is taken as it
// is every 500 ms, if it is right. For 2 s after a change the content itself is compared at each look, since two writes
// of equal length can have equal times on a file system whose clock is coarse.
//
// A file that is gone, unreadable or wrong leaves the last good snapshot in force.
package file

import (
	"context"
	"log/slog"
	"time"

	"github.com/tricot-proxy/tricot/providers"
)

// Name is what settings and logs call the provider.
const Name = "file"

// DefaultInterval is the time between two looks at the file.
const DefaultInterval = 100 * time.Millisecond

// Options of a Provider.
type Options struct {
	// Path of the services file.
	Path string
	// Interval between two looks at the file; DefaultInterval where it is not positive. A change takes effect after two
	// of them.
	Interval time.Duration
	// Log gets an error when the file turns wrong or its problems change, and an info when it is good again. Nil: no log.
	Log *slog.Logger
}

// A Provider publishes what the services file says.
type Provider struct {
	options Options
	trouble providers.TroubleBook
}

var _ providers.Provider = (*Provider)(nil)

// New makes a provider. It does not look at the file yet: who wants to refuse a wrong one at start calls [Load] before.
func New(o Options) *Provider {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Provider{options: o}
}

// Name gives [Name].
func (*Provider) Name() string { return Name }

// Trouble is that the file is not there, unreadable or wrong.
func (p *Provider) Trouble() providers.Trouble { return p.trouble.Trouble() }

// Run publishes the file's services at once and again after each change that makes a difference, until ctx ends. Where
// the file is not there or wrong, at the start too, it logs that and waits for better. It always returns nil.
func (p *Provider) Run(ctx context.Context, publish func(providers.Snapshot)) error {
	w := watch{path: p.options.Path, log: p.options.Log, publish: publish, trouble: &p.trouble}
	ticker := time.NewTicker(p.options.Interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		w.look(time.Now())
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// Load reads the services file once. What is wrong with its content comes back as [errors.Join] of one *[Error] for each
// problem, in the order of their lines; that it cannot be read, as one error that wraps the operating system's.
func Load(path string) (providers.Snapshot, error) {
	_, content, err := read(path)
	if err != nil {
		return providers.Snapshot{}, err
	}
	return parse(path, content)
}

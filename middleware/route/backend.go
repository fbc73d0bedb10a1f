package route

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// backends keeps one [pipeline.Backend] for everything that can be told apart, so that those which know a backend by
// its pointer (connection pools, health) know it again after a change elsewhere in the snapshot.
type backends map[identity]*pipeline.Backend

// identity is all that a backend is, as a map's key.
type identity struct {
	service, id, node, site, scheme, address string
	// headers has one line for each: neither names nor values can have a line break.
	headers string
}

// healths keeps one [pipeline.Health] for each address that backends have: what works or not is the process there,
// whatever the catalog says about it.
type healths map[endpoint]*pipeline.Health

type endpoint struct{ scheme, address string }

// backend gives the backend that an instance's rules lead to: the one that is there already, else the previous table's,
// else a new one.
func (t *Table) backend(
	instance *providers.Instance, scheme tag.Scheme, headers []tag.Header, previous *Table,
) *pipeline.Backend {
	key := identity{
		service: instance.Service, id: instance.ID, node: instance.Node, site: instance.Site,
		scheme:  schemeOf(scheme),
		address: net.JoinHostPort(instance.Address, strconv.Itoa(instance.Port)),
		headers: headerLines(headers),
	}
	if known := t.backends[key]; known != nil {
		return known
	}
	health := t.health(endpoint{key.scheme, key.address}, previous)
	backend := previous.backends[key]
	if backend == nil {
		backend = &pipeline.Backend{
			Service: key.service, ID: key.id, Node: key.node, Site: key.site,
			Scheme: key.scheme, Address: key.address,
			Headers: groupHeaders(headers),
			Health:  health,
		}
	}
	t.backends[key] = backend
	return backend
}

// health gives the one of an address in the same way.
func (t *Table) health(at endpoint, previous *Table) *pipeline.Health {
	if known := t.healths[at]; known != nil {
		return known
	}
	health := previous.healths[at]
	if health == nil {
		health = new(pipeline.Health)
	}
	t.healths[at] = health
	return health
}

// schemeOf names what a rule's tag stands for as the pipeline does.
func schemeOf(scheme tag.Scheme) string {
	switch scheme {
	case tag.HTTPS:
		return pipeline.HTTPS
	case tag.H2C:
		return pipeline.H2C
	default:
		return pipeline.HTTP
	}
}

// compareBackends orders the backends of a tier, so that the order does not depend on that of the snapshot.
func compareBackends(a, b *pipeline.Backend) int {
	if c := strings.Compare(a.Service, b.Service); c != 0 {
		return c
	}
	return cmp.Or(
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Address, b.Address),
		strings.Compare(a.Scheme, b.Scheme),
		strings.Compare(a.Node, b.Node),
		strings.Compare(a.Site, b.Site),
	)
}

func headerLines(headers []tag.Header) string {
	if len(headers) == 0 {
		return ""
	}
	var lines strings.Builder
	for _, h := range headers {
		lines.WriteString(h.Name + ":" + h.Value + "\n")
	}
	return lines.String()
}

// groupHeaders puts the values of each name together, in the order of the tags.
func groupHeaders(headers []tag.Header) []pipeline.Header {
	var fields []pipeline.Header
	for _, h := range headers {
		i := slices.IndexFunc(fields, func(f pipeline.Header) bool { return f.Name == h.Name })
		if i < 0 {
			i = len(fields)
			fields = append(fields, pipeline.Header{Name: h.Name})
		}
		fields[i].Values = append(fields[i].Values, h.Value)
	}
	for i := range fields {
		fields[i].Values = slices.Clip(fields[i].Values)
	}
	return fields
}

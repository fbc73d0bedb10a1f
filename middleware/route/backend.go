package route

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// identity is all that a backend is, as a map's key.
type identity struct {
	service, id, node, site, scheme, address string
	// headers has one line for each value: neither names nor values can have a line break.
	headers string
}

// endpoint is what has a health: what works or not is the process there, whatever the catalog says about it.
type endpoint struct{ scheme, address string }

// counted is a value and how many need it.
type counted[T any] struct {
	value *T
	uses  int
}

// backends keeps one [pipeline.Backend] for everything that can be told apart, so that those which know a backend by
// its pointer (connection pools, health) know it again after a change elsewhere in the snapshot; and one
// [pipeline.Health] for each address that backends have.
type backends struct {
	known   ledger[identity, counted[pipeline.Backend]]
	healths ledger[endpoint, counted[pipeline.Health]]
}

// A register is backends that are being written, after those of the table before.
type register struct {
	previous *backends
	known    *revision[identity, counted[pipeline.Backend]]
	healths  *revision[endpoint, counted[pipeline.Health]]
}

// register begins with no backend: what is taken is the one of b where b has it.
func (b *backends) register() *register {
	var none backends
	r := none.revise()
	r.previous = b
	return r
}

// revise begins with all of b.
func (b *backends) revise() *register {
	return &register{previous: b, known: b.known.revise(), healths: b.healths.revise()}
}

func (r *register) backends() backends {
	return backends{known: r.known.ledger, healths: r.healths.ledger}
}

// take gives a backend like this one, which has no health: the one that is there already, else the previous one, else a new
// one. It is there until it was given up as often as it was taken.
func (r *register) take(like pipeline.Backend) *pipeline.Backend {
	is := identify(&like)
	known := r.known.get(is)
	if known.value == nil {
		known = counted[pipeline.Backend]{value: r.previous.known.get(is).value}
		health := r.takeHealth(is.endpoint())
		if known.value == nil {
			like.Health = health
			known.value = &like
		}
	}
	known.uses++
	r.known.put(is, known)
	return known.value
}

func (r *register) takeHealth(at endpoint) *pipeline.Health {
	known := r.healths.get(at)
	if known.value == nil {
		known.value = r.previous.healths.get(at).value
		if known.value == nil {
			known.value = new(pipeline.Health)
		}
	}
	known.uses++
	r.healths.put(at, known)
	return known.value
}

func (r *register) giveUp(backend *pipeline.Backend) {
	is := identify(backend)
	known := r.known.get(is)
	if known.uses--; known.uses > 0 {
		r.known.put(is, known)
		return
	}
	r.known.remove(is)
	health := r.healths.get(is.endpoint())
	if health.uses--; health.uses > 0 {
		r.healths.put(is.endpoint(), health)
		return
	}
	r.healths.remove(is.endpoint())
}

func identify(b *pipeline.Backend) identity {
	return identity{b.Service, b.ID, b.Node, b.Site, b.Scheme, b.Address, headerLines(b.Headers)}
}

func (is identity) endpoint() endpoint { return endpoint{is.scheme, is.address} }

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

// compareBackends orders the backends of a tier, so that the order does not depend on that of the snapshot. It is 0 for
// those with one identity only.
func compareBackends(a, b *pipeline.Backend) int {
	if c := strings.Compare(a.Service, b.Service); c != 0 {
		return c
	}
	if c := strings.Compare(a.ID, b.ID); c != 0 {
		return c
	}
	return cmp.Or(
		strings.Compare(a.Address, b.Address),
		strings.Compare(a.Scheme, b.Scheme),
		strings.Compare(a.Node, b.Node),
		strings.Compare(a.Site, b.Site),
		slices.CompareFunc(a.Headers, b.Headers, func(a, b pipeline.Header) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), slices.Compare(a.Values, b.Values))
		}),
	)
}

func headerLines(headers []pipeline.Header) string {
	if len(headers) == 0 {
		return ""
	}
	var lines strings.Builder
	for _, h := range headers {
		for _, value := range h.Values {
			lines.WriteString(h.Name + ":" + value + "\n")
		}
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

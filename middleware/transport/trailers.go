package transport

import (
	"iter"
	"net/http"
	"slices"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// announce names the trailers that are to come, and gives those names.
func announce(header http.Header, trailers iter.Seq[string]) []string {
	var names []string
	for name := range trailers {
		if name = http.CanonicalHeaderKey(name); isTrailer(name) && http1.IsToken(name) {
			names = append(names, name)
		}
	}
	if names != nil {
		slices.Sort(names)
		names = slices.Compact(names)
		header["Trailer"] = names
	}
	return names
}

// sendTrailers passes on what has come after the content, announced or not.
func (x *exchange) sendTrailers(trailer http.Header, announced []string) {
	if len(trailer) == 0 && len(announced) == 0 {
		return
	}
	_ = x.flush() // makes the server send a short answer in chunks, behind which there is room for trailers
	header := x.w.Header()
	// The head is sent, so what stands in the header under an announced name is the trailer's.
	for _, name := range announced {
		delete(header, name)
	}
	for name, values := range trailer {
		switch {
		case !isTrailer(name):
		case slices.Contains(announced, name):
			header[name] = values
		default:
			header[http.TrailerPrefix+name] = values
		}
	}
}

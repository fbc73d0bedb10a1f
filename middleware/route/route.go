// Package route is the stage that finds which backends may serve a request.
//
// [Compile] turns a snapshot of service instances into a [Table], which is immutable: everything about the order of
// design.md, section 3, that does not depend on the request is decided there. A [Router] holds the table in force and
// swaps it for the next one atomically, which it makes from the one before: only hosts about which something has changed
// are compiled. The stage, [New], looks each request up by its canonical host and its path as
// the client sent it.
//
// It needs no other stage. It sets State.Route; a request that no rule matches, or whose Host field is missing or no
// host (RFC 9110, section 7.2), is answered with a 404. A route without tiers is passed on: rules match the request,
// and none of their backends can serve now, which is for the balance stage to say.
package route

import (
	"net/http"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is what settings and logs call the stage.
const Name = "route"

// New gives the stage. It reads the router's table anew for each request, and takes no lock.
func New(router *Router) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state, w, r := pipeline.Enter(w, r)
			state.Route = nil
			if host, ok := pipeline.Host(r); ok {
				state.Route = router.Table().Find(host, pipeline.Path(r))
			}
			if state.Route == nil {
				http.Error(w, "404 page not found", http.StatusNotFound)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

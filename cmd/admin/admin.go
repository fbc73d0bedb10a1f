// Package admin is what the admin address serves: health checks, profiles, what this Tricot knows as JSON, and a page that
// shows it to people.
//
//	/healthz              200 as long as the process serves
//	/readyz               200 when requests can be served; 503 with the reason until then, and while shutting down
//	/api/status           this instance: version, node, site, providers
//	/api/services         the service instances of the snapshot in force
//	/api/routes           hosts, paths and priorities with their backends; ?search=, ?offset= and ?limit= cut it
//	/api/rules            the same, one rule after the other, each with its backend
//	/api/backends         the backends of all rules with their state, each once
//	/api/certificates     wanted names and their certificates; the same three, as for all lists
//	/api/problems         what a person should look at, the worst first
//	/api/settings         every setting in force with its source; secrets are masked
//	/api/explain?url=     the whole decision on a request to that URL
//	/api/events           server-sent events: "changed" when any of that did, "traffic" every second; ?hosts=a,b bounds it
//	/debug/pprof/         profiles, as of net/http/pprof
//	/                     the page
//
// All but the health checks ask for the token where there is one: as "Authorization: Bearer
// TOKEN" (RFC 6750), or as the password of basic authentication (RFC 7617), which browsers can give. Only GET and HEAD are
// answered, so that no page of somebody else's can do anything here, and only by this machine's names or an address where
// there is no token, so that none can read anything by having a name of its own lead here (DNS rebinding).
package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
)

//go:embed page
var page embed.FS

// Options are what a site is made of.
type Options struct {
	Source Source
	// Token is asked for; empty: nothing is.
	Token string
	// Log must not be nil.
	Log *slog.Logger
}

// New gives the site's handler, which may be used by many goroutines at once.
func New(options Options) http.Handler {
	s := &site{Source: options.Source, log: options.Log}
	if options.Token != "" {
		sum := sha256.Sum256([]byte(options.Token))
		s.token = &sum
	}
	mux := http.NewServeMux()
	open := func(pattern string, handle http.HandlerFunc) { mux.Handle("GET "+pattern, handle) }
	guarded := func(pattern string, handle http.HandlerFunc) { open(pattern, s.guard(handle)) }
	open("/healthz", s.healthz)
	open("/readyz", s.readyz)
	guarded("/api/status", s.status)
	guarded("/api/services", s.services)
	guarded("/api/routes", s.routes)
	guarded("/api/rules", s.rules)
	guarded("/api/backends", s.backends)
	guarded("/api/certificates", s.certificates)
	guarded("/api/problems", s.problems)
	guarded("/api/settings", s.settings)
	guarded("/api/explain", s.explain)
	guarded("/api/events", s.events)
	guarded("/debug/pprof/", pprof.Index)
	guarded("/debug/pprof/cmdline", http.NotFound) // flags may be secrets
	guarded("/debug/pprof/profile", pprof.Profile)
	guarded("/debug/pprof/symbol", pprof.Symbol)
	guarded("/debug/pprof/trace", pprof.Trace)
	files, _ := fs.Sub(page, "page") // it is there, or this would not have been built
	guarded("/", http.FileServerFS(files).ServeHTTP)
	return s.secured(mux)
}

type site struct {
	Source
	token *[sha256.Size]byte // the token's hash; nil: none is asked for
	log   *slog.Logger
}

// guard asks for the token.
func (s *site) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.allowed(r) {
			next(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="Tricot", charset="UTF-8"`)
		http.Error(w, "401 unauthorized: this needs the token of admin.token, as a bearer token or as the password", http.StatusUnauthorized)
	}
}

func (s *site) allowed(r *http.Request) bool {
	if s.token == nil {
		return true
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, given, ok = r.BasicAuth()
	}
	sum := sha256.Sum256([]byte(given))
	return ok && subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1
}

// secured refuses what only a foreign page would ask for, and keeps the site out of frames, caches and foreign scripts.
func (s *site) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.token == nil && !isOwnName(r.Host) {
			http.Error(w, "421 misdirected request: ask by an address, or by localhost", http.StatusMisdirectedRequest)
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// isOwnName says whether no foreign name server can have made a browser believe that host is there: an IP address, or
// localhost.
func isOwnName(hostport string) bool {
	host := hostport
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(host, "]"), "["), "."))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (s *site) healthz(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n"))
}

func (s *site) readyz(w http.ResponseWriter, _ *http.Request) {
	if why := s.Unready(); why != "" {
		http.Error(w, "503 not ready: "+why, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

// answer sends JSON.
func (s *site) answer(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		s.log.Error("the admin site cannot show what it has", "error", err)
		http.Error(w, "500 internal server error: see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

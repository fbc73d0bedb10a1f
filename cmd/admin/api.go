package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The bounds of a part of a list.
const (
	defaultLimit = 100
	maxLimit     = 10_000
)

func (s *site) status(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, s.Status())
}

func (s *site) services(w http.ResponseWriter, r *http.Request) {
	answerPart(s, w, r, "services", s.Services(), func(service Service, search string) bool {
		return contains(search, service.Service, service.ID, service.Node, service.Address, strings.Join(service.Tags, "\n"))
	})
}

func (s *site) routes(w http.ResponseWriter, r *http.Request) {
	answerPart(s, w, r, "routes", s.Routes(), matchesRoute)
}

func matchesRoute(route Route, search string) bool {
	if contains(search, route.Host+route.Path) {
		return true
	}
	return slices.ContainsFunc(route.Backends, func(b Backend) bool { return matchesBackend(b, search) })
}

// A rule is a route with one of its backends.
type rule struct {
	Host     string  `json:"host"`
	Path     string  `json:"path"`
	Priority int     `json:"priority"`
	Backend  Backend `json:"backend"`
}

func (s *site) rules(w http.ResponseWriter, r *http.Request) {
	var all []rule
	for _, route := range s.Routes() {
		for _, backend := range route.Backends {
			all = append(all, rule{route.Host, route.Path, route.Priority, backend})
		}
	}
	answerPart(s, w, r, "rules", all, func(rule rule, search string) bool {
		return contains(search, rule.Host+rule.Path) || matchesBackend(rule.Backend, search)
	})
}

// backends gives each one once. The state of one that is in several routes is the best that it has in any.
func (s *site) backends(w http.ResponseWriter, r *http.Request) {
	rank := map[string]int{Serving: 3, Standby: 2, Ejected: 1}
	at, all := map[[3]string]int{}, []Backend(nil)
	for _, route := range s.Routes() {
		for _, b := range route.Backends {
			key := [3]string{b.Service, b.ID, b.URL}
			i, known := at[key]
			switch {
			case !known:
				at[key] = len(all)
				all = append(all, b)
			case rank[b.State] > rank[all[i].State]:
				all[i] = b
			}
		}
	}
	slices.SortFunc(all, func(a, b Backend) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.ID, b.ID), strings.Compare(a.URL, b.URL))
	})
	answerPart(s, w, r, "backends", all, matchesBackend)
}

func matchesBackend(b Backend, search string) bool {
	return contains(search, b.Service, b.ID, b.Node, b.Site, b.URL, b.State)
}

func (s *site) certificates(w http.ResponseWriter, r *http.Request) {
	answerPart(s, w, r, "certificates", s.Certificates(), func(c Certificate, search string) bool {
		return contains(search, c.Name, c.State, c.Issuer, c.Problem)
	})
}

func (s *site) problems(w http.ResponseWriter, r *http.Request) {
	answerPart(s, w, r, "problems", s.Problems(), func(p Problem, search string) bool {
		return contains(search, p.Kind, p.Subject, p.Reason)
	})
}

func (s *site) settings(w http.ResponseWriter, r *http.Request) {
	answerPart(s, w, r, "settings", s.Settings(), func(set Setting, search string) bool {
		return contains(search, set.Key, set.Source)
	})
}

func (s *site) explain(w http.ResponseWriter, r *http.Request) {
	url := r.URL.Query().Get("url")
	if url == "" {
		s.refuse(w, "url is missing: /api/explain?url=https://app.example.com/path")
		return
	}
	if why := s.Unready(); why != "" { // what is in force is not what requests will meet
		s.answer(w, http.StatusServiceUnavailable, map[string]string{"error": "not ready: " + why})
		return
	}
	decision, err := s.Explain(url)
	if err != nil {
		s.refuse(w, err.Error())
		return
	}
	s.answer(w, http.StatusOK, decision)
}

func (s *site) refuse(w http.ResponseWriter, reason string) {
	s.answer(w, http.StatusBadRequest, map[string]string{"error": reason})
}

// answerPart sends the part of a list that the query asks for: what matches search, from offset on, limit of it at most.
// The numbers beside it are those of all, and of all that match.
func answerPart[T any](s *site, w http.ResponseWriter, r *http.Request, name string, all []T, matches func(T, string) bool) {
	query := r.URL.Query()
	offset, err := number(query.Get("offset"), 0, 1<<31)
	if err != nil {
		s.refuse(w, "offset: "+err.Error())
		return
	}
	limit, err := number(query.Get("limit"), defaultLimit, maxLimit)
	if err != nil {
		s.refuse(w, "limit: "+err.Error())
		return
	}
	part, matched, search := make([]T, 0, min(limit, len(all))), 0, strings.ToLower(query.Get("search"))
	for _, one := range all {
		if search != "" && !matches(one, search) {
			continue
		}
		if matched >= offset && len(part) < limit {
			part = append(part, one)
		}
		matched++
	}
	s.answer(w, http.StatusOK, map[string]any{"total": len(all), "matched": matched, "offset": offset, name: part})
}

func number(text string, byDefault, most int) (int, error) {
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", text, most)
	}
	return n, nil
}

// contains looks for search, in lower case, in any of the texts.
func contains(search string, texts ...string) bool {
	for _, text := range texts {
		if strings.Contains(strings.ToLower(text), search) {
			return true
		}
	}
	return false
}

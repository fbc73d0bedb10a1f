package acmetest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// A Fault is something that goes wrong at the CA.
type Fault struct {
	// Endpoint and Name say which requests it is for; empty: all. A request is about a name where it is for an order, or
	// anything that belongs to one.
	Endpoint Endpoint
	Name     string
	// Times is the number of requests that it is for; 0: all, until it is mended.
	Times int

	// Status is answered, in plain text or, with a Problem, as a problem document of this type, such as "rateLimited".
	Status          int
	Problem, Detail string
	// RetryAfter is the field of this name in the answer, as it is sent.
	RetryAfter string
	// Hang: nothing is answered until the fault is mended, the server is stopped or the client goes away.
	Hang bool
	// Lose: the request is served, and the connection closed in place of the answer.
	Lose bool
}

type fault struct {
	Fault
	left   int // with Times
	mended chan struct{}
}

// Fail makes something go wrong from now on. Of several faults that are for a request, the one that came first is used.
// Mend ends it and may be called more than once.
func (s *Server) Fail(f Fault) (mend func()) {
	added := &fault{Fault: f, left: f.Times, mended: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case <-added.mended:
		default:
			close(added.mended)
		}
		s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool { return f == added })
	}
}

// fault gives the one that is for a request, nil where there is none.
func (s *Server) fault(e Endpoint, name string) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Endpoint != "" && f.Endpoint != e || f.Name != "" && f.Name != name {
			continue
		}
		if f.Times > 0 {
			if f.left--; f.left == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return f
	}
	return nil
}

func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, f *fault) {
	if f.Hang {
		s.mu.Lock()
		stopped := s.stopped
		s.mu.Unlock()
		select {
		case <-f.mended:
		case <-stopped:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Problem == "" {
		http.Error(w, strings.TrimSpace("fault "+f.Detail), f.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "urn:ietf:params:acme:error:" + f.Problem, "detail": f.Detail, "status": f.Status,
	})
}

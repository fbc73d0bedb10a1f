package acmetest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"
)

// An Endpoint is a resource of the API.
type Endpoint string

// The endpoints. An account, an order and so on are asked for at those that are named for them.
const (
	Directory     Endpoint = "directory"
	NewNonce      Endpoint = "newNonce"
	NewAccount    Endpoint = "newAccount"
	NewOrder      Endpoint = "newOrder"
	Account       Endpoint = "account"
	Order         Endpoint = "order"
	Authorization Endpoint = "authorization"
	Challenge     Endpoint = "challenge"
	Finalize      Endpoint = "finalize"
	Certificate   Endpoint = "certificate"
	RenewalInfo   Endpoint = "renewalInfo"
)

// paths are where Pebble has them.
var paths = map[string]Endpoint{
	"/dir":                                 Directory,
	"/nonce-plz":                           NewNonce,
	"/sign-me-up":                          NewAccount,
	"/order-plz":                           NewOrder,
	"/my-account/":                         Account,
	"/my-order/":                           Order,
	"/authZ/":                              Authorization,
	"/chalZ/":                              Challenge,
	"/finalize-order/":                     Finalize,
	"/certZ/":                              Certificate,
	"/draft-ietf-acme-ari-03/renewalInfo/": RenewalInfo,
}

func endpoint(path string) Endpoint {
	for prefix, e := range paths {
		if path == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix) {
			return e
		}
	}
	return ""
}

// A tally is what the server remembers of what was asked. Its owner's mu guards it.
type tally struct {
	requests    map[Endpoint]int
	newOrders   map[string]int    // by name, those that were refused among them, for their nonce too
	orders      map[string]int    // by name
	accounts    int               // that were made
	validations map[string]int    // by host
	replaced    []string          // the certificates that accepted orders replace
	names       map[string]string // whose an order, authorization, challenge or certificate is, by path
	replacing   map[string]string // the certificate that an order replaces, by the path where it is finalized
}

func newTally() tally {
	return tally{
		requests: map[Endpoint]int{}, newOrders: map[string]int{}, orders: map[string]int{},
		validations: map[string]int{}, names: map[string]string{}, replacing: map[string]string{},
	}
}

// Requests is the number of requests that came to an endpoint, answered or not; "": to all of them.
func (s *Server) Requests(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e != "" {
		return s.requests[e]
	}
	sum := 0
	for _, n := range s.requests {
		sum += n
	}
	return sum
}

// Orders is the number of orders that were accepted, by name.
func (s *Server) Orders() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.orders)
}

// NewOrders is the number of requests for an order, by name, those among them that were refused, be it for their nonce, or
// lost.
func (s *Server) NewOrders() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.newOrders)
}

// Accounts is the number of accounts that were made.
func (s *Server) Accounts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts
}

// Validations is the number of requests by which challenges for a name were validated, where the server listens for them
// itself. There are up to three for each challenge.
func (s *Server) Validations(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.validations[name]
}

// Replaced are the certificates, by their identifiers of RFC 9773, section 4.1, that accepted orders replace.
func (s *Server) Replaced() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.replaced...)
}

// asked is what the payload of a request may say.
type asked struct {
	Identifiers []struct{ Value string }
	Replaces    string
}

// told is what an answer may say.
type told struct {
	Finalize, Certificate string
	Authorizations        []string
	Challenges            []struct{ URL string }
}

// serve counts a request, and has Pebble answer it where no fault does.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	e, payload := endpoint(r.URL.Path), payloadOf(body)
	name := s.note(e, r.URL.Path, payload)

	f := s.fault(e, name)
	if f != nil && !f.Lose {
		s.misbehave(w, r, f)
		return
	}
	answer := s.ask(r)
	s.learn(e, name, payload, answer)
	if e == Finalize && answer.Code == http.StatusOK {
		s.awaitReplacement(r.URL.Path)
	}
	if f != nil {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// ask has Pebble answer a request when it is its turn.
func (s *Server) ask(r *http.Request) *httptest.ResponseRecorder {
	s.mu.Lock()
	pebble := s.pebble
	s.mu.Unlock()
	s.turn.Lock()
	defer s.turn.Unlock()
	answer := httptest.NewRecorder()
	pebble.ServeHTTP(answer, r)
	return answer
}

// note counts a request and gives the name that it is about, "" where there is none.
func (s *Server) note(e Endpoint, path string, payload asked) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[e]++
	if e == NewOrder && len(payload.Identifiers) > 0 {
		name := payload.Identifiers[0].Value
		s.newOrders[name]++
		return name
	}
	return s.names[path]
}

// learn notes what an answer says of the name that it is about.
func (s *Server) learn(e Endpoint, name string, payload asked, answer *httptest.ResponseRecorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case answer.Code == http.StatusCreated && e == NewAccount:
		s.accounts++
	case answer.Code == http.StatusCreated && e == NewOrder:
		s.orders[name]++
		if payload.Replaces != "" {
			s.replaced = append(s.replaced, payload.Replaces)
		}
	}
	var t told
	if name == "" || json.Unmarshal(answer.Body.Bytes(), &t) != nil {
		return
	}
	if payload.Replaces != "" {
		if u, err := url.Parse(t.Finalize); err == nil {
			s.replacing[u.Path] = payload.Replaces
		}
	}
	urls := append(t.Authorizations, t.Finalize, t.Certificate, answer.Header().Get("Location"))
	for _, challenge := range t.Challenges {
		urls = append(urls, challenge.URL)
	}
	for _, at := range urls {
		if u, err := url.Parse(at); err == nil && u.Path != "" {
			s.names[u.Path] = name
		}
	}
}

// awaitReplacement waits until Pebble has noted that the certificate which an order replaces has been replaced. Pebble
// does so after its answer, and reads it without a lock.
func (s *Server) awaitReplacement(finalized string) {
	s.mu.Lock()
	memory, id := s.db, s.replacing[finalized]
	s.mu.Unlock()
	_, serial, _ := strings.Cut(id, ".")
	raw, _ := base64.RawURLEncoding.DecodeString(serial)
	replaced, err := memory.GetOrderByIssuedSerial(hex.EncodeToString(raw))
	if err != nil {
		return
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); <-time.After(time.Millisecond) {
		replaced.RLock()
		done := replaced.IsReplaced
		replaced.RUnlock()
		if done {
			return
		}
	}
}

// payloadOf reads the payload of a JWS in JSON, as far as it can be read.
func payloadOf(body []byte) (payload asked) {
	var jws struct{ Payload string }
	if json.Unmarshal(body, &jws) == nil {
		raw, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
		_ = json.Unmarshal(raw, &payload)
	}
	return payload
}

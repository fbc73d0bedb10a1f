package servertest

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// ServeNetHTTP has net/http's server serve a handler, which finds what it has to with [Must], until the test ends. config is
// nil for a server without TLS, and names "h2" for one that speaks HTTP/2.
func ServeNetHTTP(t testing.TB, listener net.Listener, config *tls.Config, handler http.Handler) {
	log := new(Logbook)
	peer := &http.Server{
		Handler: handler, TLSConfig: config.Clone(), DisableGeneralOptionsHandler: true,
		ErrorLog: slog.NewLogLogger(log.Logger(slog.LevelDebug).Handler(), slog.LevelDebug),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if config == nil {
			_ = peer.Serve(listener)
		} else {
			_ = peer.ServeTLS(listener, "", "")
		}
	}()
	t.Cleanup(func() {
		_ = peer.Close()
		<-served
		assert.NotContains(t, log.String(), otherwise)
	})
}

// An Answer is what a client gets, to be compared.
type Answer struct {
	Status             int
	Proto              string
	Header             http.Header // without a Date that is the server's
	Content            string
	Announced, Trailer http.Header
	Length             int64
	Encoding           []string
	Close              bool
	Broken             bool // there is no answer, or it has no end
	Informational      []Informational
}

// Informational is what came before an [Answer].
type Informational struct {
	Status int
	Link   []string
}

// ReadAnswer reads a response to its end and closes it. It makes sure that there is a Date.
func ReadAnswer(t testing.TB, response *http.Response) Answer {
	t.Helper()
	defer response.Body.Close()
	announced := response.Trailer.Clone()
	content, err := io.ReadAll(response.Body)
	assert.NotEmpty(t, response.Header["Date"])
	if response.Header.Get("Date") != ownDate {
		delete(response.Header, "Date")
	}
	return Answer{
		Status: response.StatusCode, Proto: response.Proto, Header: response.Header, Content: string(content),
		Announced: announced, Trailer: response.Trailer, Length: response.ContentLength, Encoding: response.TransferEncoding,
		Close: response.Close, Broken: err != nil,
	}
}

// A Request is what a handler sees of one, to be compared.
type Request struct {
	Method, Target, Proto, Host, URL, Path, RawPath, Query string
	Major, Minor                                           int
	ForceQuery, Close                                      bool
	Header, Announced, Trailer                             http.Header
	Length                                                 int64
	Encoding                                               []string
	Content                                                string
	Broken                                                 bool   // the content could not be read to its end
	NoBody                                                 bool   // it is [http.NoBody]
	TLS                                                    bool   // it came over TLS, whose handshake is complete
	Protocol                                               string // that ALPN chose
}

// ReadRequest reads a request to its end.
func ReadRequest(r *http.Request) Request {
	announced := r.Trailer.Clone()
	content, err := io.ReadAll(r.Body)
	read := Request{
		Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Major: r.ProtoMajor, Minor: r.ProtoMinor, Host: r.Host,
		URL: r.URL.String(), Path: r.URL.Path, RawPath: r.URL.RawPath, Query: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery,
		Close: r.Close, Header: r.Header, Announced: announced, Trailer: r.Trailer, Length: r.ContentLength,
		Encoding: r.TransferEncoding, Content: string(content), Broken: err != nil, NoBody: r.Body == http.NoBody,
	}
	if r.TLS != nil {
		read.TLS, read.Protocol = r.TLS.HandshakeComplete, r.TLS.NegotiatedProtocol
	}
	return read
}

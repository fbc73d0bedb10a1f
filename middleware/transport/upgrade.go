package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// upgradeOf gives the protocols that the client would like to switch to, as they go into the Upgrade field; empty where
// there are none, or none that can be passed on. A server may ignore the wish (RFC 9110, section 7.8), and this one does
// where the request has a body, which would have to be told from the new protocol's first bytes.
func upgradeOf(r *http.Request) string {
	if r.ProtoMajor != 1 || r.ProtoMinor == 0 || r.ContentLength != 0 || !pipeline.HasToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	var protocols []string
	for protocol := range tokens(r.Header["Upgrade"]) {
		if !strings.EqualFold(protocol, "h2c") { // requests in it would reach the backend past the routes
			protocols = append(protocols, protocol)
		}
	}
	return strings.Join(protocols, ", ")
}

// switchProtocols takes a 101 to the client and then carries bytes both ways until one side is gone.
func (x *exchange) switchProtocols(response *http.Response, asked string) {
	backend, err := checkSwitch(response, asked)
	if err != nil {
		x.fail(&pipeline.Failure{Err: err, Status: http.StatusBadGateway})
		return
	}
	x.state.Answered = time.Now()
	protocol := response.Header["Upgrade"]
	removeHopByHop(response.Header)
	header := x.w.Header()
	add(header, response.Header)
	header["Connection"], header["Upgrade"] = []string{"Upgrade"}, protocol
	x.w.WriteHeader(http.StatusSwitchingProtocols) // so that the stages before see it; Hijack sends it
	client, buffered, err := x.control.Hijack()
	if err != nil {
		err = fmt.Errorf("take over the client's connection: %w", err)
		x.state.Failure = &pipeline.Failure{Err: err, Status: http.StatusBadGateway}
		x.abort(slog.LevelWarn, "the upgrade failed")
	}
	defer client.Close()
	_ = client.SetDeadline(time.Time{}) // the server's are for requests
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	from := io.MultiReader(bytes.NewReader(bytes.Clone(early)), client)
	x.state.Status = http.StatusSwitchingProtocols
	x.state.Bytes = tunnel(x.r.Context(), client, from, backend)
}

// checkSwitch holds a 101 against what was asked for, and gives the connection to the backend.
func checkSwitch(response *http.Response, asked string) (io.ReadWriteCloser, error) {
	if asked == "" {
		return nil, errors.New("the backend switches protocols and was not asked to")
	}
	wanted := slices.Collect(tokens([]string{asked}))
	answered := slices.Collect(tokens(response.Header["Upgrade"]))
	for _, protocol := range answered {
		if !slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, protocol) }) {
			return nil, fmt.Errorf("the backend switches to %q, and was asked for %q", protocol, asked)
		}
	}
	backend, ok := response.Body.(io.ReadWriteCloser)
	if !ok || len(answered) == 0 {
		return nil, errors.New("the backend switches protocols and does not say to which")
	}
	return backend, nil
}

// tunnel returns when both directions have ended, and gives the number of bytes that the backend sent. from is what
// client sends, with what had been read of it before.
func tunnel(ctx context.Context, client net.Conn, from io.Reader, backend io.ReadWriteCloser) int64 {
	end := func() {
		client.Close()
		backend.Close()
	}
	stop := context.AfterFunc(ctx, end)
	defer stop()

	var up sync.WaitGroup
	up.Go(func() { relay(backend, from, end) })
	sent := relay(client, backend, end)
	up.Wait()
	end()
	return sent
}

// relay copies until from ends, and passes that on where to can still be read from afterwards; otherwise it ends both.
func relay(to io.Writer, from io.Reader, end func()) (sent int64) {
	// Only the methods named here: a ReadFrom would bring a buffer of its own.
	sent, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, new(buffer)[:])
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		end()
	}
	return sent
}

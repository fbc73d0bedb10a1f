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
func (x *exchange) switchProtocols() {
	a := &x.buffers.answer
	if err := checkSwitch(a, x.upgrade); err != nil {
		x.state.Answered = time.Time{}
		x.fail(&pipeline.Failure{Err: err, Status: http.StatusBadGateway})
		return
	}
	header := x.w.Header()
	a.addTo(header)
	header["Connection"], header["Upgrade"] = []string{"Upgrade"}, slices.Clone(a.upgrade)
	x.w.WriteHeader(http.StatusSwitchingProtocols) // so that the stages before see it; Hijack sends it
	client, buffered, err := http.NewResponseController(x.w).Hijack()
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
	x.state.Bytes = x.tunnel(client, from)
}

// checkSwitch holds a 101 against what was asked for.
func checkSwitch(a *answer, asked string) error {
	if asked == "" {
		return errors.New("the backend switches protocols and was not asked to")
	}
	if !pipeline.HasToken(a.connection, "upgrade") {
		return errors.New("the backend switches protocols and does not say so in Connection")
	}
	wanted := slices.Collect(tokens([]string{asked}))
	switched := slices.Collect(tokens(a.upgrade))
	for _, protocol := range switched {
		if !slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, protocol) }) {
			return fmt.Errorf("the backend switches to %q, and was asked for %q", protocol, asked)
		}
	}
	if len(switched) == 0 {
		return errors.New("the backend switches protocols and does not say to which")
	}
	return nil
}

// tunnel returns when both directions have ended, and gives the number of bytes that the backend sent. from is what
// client sends, with what had been read of it before.
func (x *exchange) tunnel(client net.Conn, from io.Reader) int64 {
	backend := x.connection
	end := func() {
		client.Close()
		backend.cut()
	}
	stop := context.AfterFunc(x.r.Context(), end)
	defer stop()
	_ = backend.tcp.SetDeadline(time.Time{})
	early, _ := x.buffers.in.Peek(x.buffers.in.Buffered())
	to := io.MultiReader(bytes.NewReader(bytes.Clone(early)), backend.Conn)
	x.pools.put(x.buffers)
	x.buffers = nil

	var up sync.WaitGroup
	up.Go(func() { x.relay(backend, from, end) })
	sent := x.relay(client, to, end)
	up.Wait()
	end()
	return sent
}

// relay copies until from ends, and passes that on where to can still be read from afterwards; otherwise it ends both.
func (x *exchange) relay(to io.Writer, from io.Reader, end func()) (sent int64) {
	buf := x.pools.bulk.Get().(*bulk)
	defer x.pools.bulk.Put(buf)
	// Only the methods named here: a ReadFrom would bring a buffer of its own.
	sent, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buf[:])
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		end()
	}
	return sent
}

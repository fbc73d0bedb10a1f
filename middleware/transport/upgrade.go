package transport

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
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
	x.state.Status = http.StatusSwitchingProtocols
	x.state.Bytes = x.tunnel(client, bytes.Clone(early))
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

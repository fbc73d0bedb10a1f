package transport

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// recorded is what a client got, byte by byte where that matters, without a server in between.
type recorded struct {
	status        int
	header        http.Header // as it was when it was sent
	body          bytes.Buffer
	informational []int
	live          http.Header
}

func newRecorded() *recorded { return &recorded{live: make(http.Header)} }

func (w *recorded) Header() http.Header { return w.live }

func (w *recorded) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.informational = append(w.informational, status)
	} else if w.status == 0 {
		w.status, w.header = status, maps.Clone(w.live)
	}
}

func (w *recorded) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *recorded) FlushError() error       { return nil }
func (w *recorded) EnableFullDuplex() error { return nil }

// trailer gives what a server would send after the content.
func (w *recorded) trailer() http.Header {
	trailer := make(http.Header)
	for name, values := range w.live {
		if bare, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			trailer[bare] = values
		} else if slices.Contains(w.header["Trailer"], name) {
			trailer[name] = values
		}
	}
	return trailer
}

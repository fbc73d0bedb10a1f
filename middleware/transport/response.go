package transport

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// answer sends the backend's answer to the client.
func (x *exchange) answer(response *http.Response) {
	x.state.Answered = time.Now()
	removeHopByHop(response.Header)
	header := x.w.Header()
	add(header, response.Header)
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // or the server guesses one
	}
	announce(header, response.Trailer)
	if len(response.Trailer) > 0 && x.r.ProtoMajor == 1 {
		header.Del("Content-Length") // only a chunked body has room for trailers on HTTP/1.1
	}
	x.closeAfter()
	x.w.WriteHeader(response.StatusCode)

	if hasContent(x.r, response) {
		if err, byClient := x.stream(response); err != nil {
			x.interrupted(err, byClient)
		}
		x.sendTrailers(response.Trailer)
	}
	x.linger()
}

func hasContent(r *http.Request, response *http.Response) bool {
	return r.Method != http.MethodHead && response.StatusCode != http.StatusNoContent &&
		response.StatusCode != http.StatusNotModified && response.Body != http.NoBody
}

// stream copies the content, and says whose side failed.
func (x *exchange) stream(response *http.Response) (err error, byClient bool) {
	live := isLive(response)
	flush := func() error {
		if err := x.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		return nil
	}
	if live { // the head may be all that comes for a while
		if err := flush(); err != nil {
			return err, true
		}
	}
	buf := x.buffers.Get().(*buffer)
	defer x.buffers.Put(buf)
	for {
		n, err := response.Body.Read(buf[:])
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return err, true
			}
			if live {
				if err := flush(); err != nil {
					return err, true
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil, false
		}
		if err != nil {
			return err, false
		}
	}
}

// isLive says whether each piece has to reach the client when it arrives: how long the answer will take is known only of
// one whose length is.
func isLive(response *http.Response) bool {
	if response.ContentLength < 0 {
		return true
	}
	media, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/event-stream")
}

// announce names the trailers that are to come.
func announce(header, trailer http.Header) {
	var names []string
	for name := range trailer {
		if isTrailer(name) {
			names = append(names, name)
		}
	}
	if names != nil {
		slices.Sort(names)
		header["Trailer"] = names
	}
}

// sendTrailers passes on what has come after the content, announced or not.
func (x *exchange) sendTrailers(trailer http.Header) {
	if len(trailer) == 0 {
		return
	}
	_ = x.control.Flush() // makes the server send a short answer in chunks, behind which there is room for trailers
	header := x.w.Header()
	announced := header["Trailer"]
	// The head is sent, so what stands in the header under an announced name is the trailer's.
	for _, name := range announced {
		delete(header, name)
	}
	for name, values := range trailer {
		switch {
		case !isTrailer(name):
		case slices.Contains(announced, name):
			header[name] = values
		default:
			header[http.TrailerPrefix+name] = values
		}
	}
}

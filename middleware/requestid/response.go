package requestid

import "net/http"

// response sets the field just before the head of the response goes out, when it is known whether the backend did.
type response struct {
	http.ResponseWriter
	values []string
	begun  bool
}

func (x *response) begin() {
	if x.begun {
		return
	}
	x.begun = true
	if header := x.ResponseWriter.Header(); len(header[Field]) == 0 {
		header[Field] = x.values
	}
}

func (x *response) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols { // the others are not the response
		x.begin()
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *response) Write(p []byte) (int, error) {
	x.begin()
	return x.ResponseWriter.Write(p)
}

// Flush serves code that looks for an http.Flusher; a [http.ResponseController] finds FlushError.
func (x *response) Flush() { _ = x.FlushError() }

func (x *response) FlushError() error {
	x.begin()
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// Unwrap lets a [http.ResponseController] reach deadlines, full duplex and Hijack.
func (x *response) Unwrap() http.ResponseWriter { return x.ResponseWriter }

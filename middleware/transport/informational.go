package transport

import (
	"fmt"
	"maps"
	"net/http"
)

// maxInformational is how many 1xx responses one request may have. A backend that reports its progress (102) sends a few.
const maxInformational = 16

var errTooManyInformational = fmt.Errorf("more than %d informational responses", maxInformational)

// inform passes a 1xx response on with these fields, beside what the final one will have. An HTTP/1.0 client knows none of
// them (RFC 9110, section 15.2).
func inform(w http.ResponseWriter, r *http.Request, status int, fields http.Header) {
	if !r.ProtoAtLeast(1, 1) {
		return
	}
	own := w.Header()
	before := maps.Clone(own)
	add(own, fields)
	w.WriteHeader(status)
	clear(own)
	maps.Copy(own, before)
}

package requestid

import (
	"net/http"

	"github.com/tricot-proxy/tricot/pipeline"
)

// response sets the field just before the head of the response goes out, when it is known whether the backend did.
type response struct {
	pipeline.HeadWriter
	values []string
}

// SetHead implements [pipeline.HeadSetter].
func (x *response) SetHead(header http.Header) {
	if len(header[Field]) == 0 {
		header[Field] = x.values
	}
}

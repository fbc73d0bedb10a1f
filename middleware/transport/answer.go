package transport

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// maxResponseHeader is for the head of an answer.
const maxResponseHeader = 64 << 10 // bytes

// answer is the head of what a backend says.
type answer struct {
	status     int
	fields     []http1.Field
	length     int64    // of the content, as [http1.ContentLength] gives it; only for a final answer
	connection []string // the values of Connection, as trailer those of Trailer, and upgrade those of Upgrade
	trailer    []string
	upgrade    []string
	lasting    bool // the connection may serve another request
}

// clear leaves the room.
func (a *answer) clear() {
	clear(a.fields)
	*a = answer{fields: a.fields[:0], connection: clearedStrings(a.connection), trailer: clearedStrings(a.trailer),
		upgrade: clearedStrings(a.upgrade)}
}

func clearedStrings(s []string) []string {
	clear(s)
	return s[:0]
}

// readAnswer reads the next head into b.answer: the final one, or an informational one before it.
func readAnswer(b *buffers, method string) error {
	var head []byte
	var err error
	head, b.scratch, err = http1.ReadHead(b.in, b.scratch, maxResponseHeader)
	if err == nil {
		err = b.answer.parse(string(head), method)
	}
	if errors.Is(err, http1.ErrTooLarge) {
		return fmt.Errorf("the answer's header is %w", err)
	}
	return err
}

func (a *answer) parse(head, method string) error {
	a.clear()
	line, lines, err := http1.CutLine(head)
	if err != nil {
		return err
	}
	minor, status, err := http1.ParseStatusLine(line)
	if err != nil {
		return err
	}
	a.status = status
	if a.fields, err = http1.AppendFields(a.fields, lines); err != nil {
		return err
	}
	var lengths, codings [2]string // more than one are wrong already
	nLengths, nCodings := 0, 0
	for _, f := range a.fields {
		switch f.Name {
		case "Content-Length":
			lengths[min(nLengths, 1)] = f.Value
			nLengths = min(nLengths+1, 2)
		case "Transfer-Encoding":
			codings[min(nCodings, 1)] = f.Value
			nCodings = min(nCodings+1, 2)
		case "Connection":
			a.connection = append(a.connection, f.Value)
		case "Trailer":
			a.trailer = append(a.trailer, f.Value)
		case "Upgrade":
			a.upgrade = append(a.upgrade, f.Value)
		}
	}
	if status < http.StatusOK {
		return nil
	}
	if a.length, err = http1.ContentLength(method, status, minor, lengths[:nLengths], codings[:nCodings]); err != nil {
		return err
	}
	switch {
	case a.length == http1.UntilClose:
	case minor == 0:
		a.lasting = pipeline.HasToken(a.connection, "keep-alive")
	default:
		a.lasting = !pipeline.HasToken(a.connection, "close")
	}
	return nil
}

// addTo puts the fields that are for the client behind what is in a header.
func (a *answer) addTo(header http.Header) {
	named := namesFields(a.connection)
	values := make([]string, len(a.fields))
	for _, f := range a.fields {
		switch {
		case isHopByHop(f.Name), named && pipeline.HasToken(a.connection, f.Name):
			continue
		case f.Name == "Content-Length" && (a.status < http.StatusOK || a.status == http.StatusNoContent):
			continue // RFC 9110, section 8.6
		}
		if before := header[f.Name]; before != nil {
			header[f.Name] = append(before[:len(before):len(before)], f.Value)
			continue
		}
		values[0] = f.Value
		header[f.Name] = values[:1:1] // whoever appends gets a copy
		values = values[1:]
	}
}

package compress

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
)

// unknownLength stands for a Content-Length that is missing or malformed.
const unknownLength = -1

// rules decides from the head of a response what becomes of it.
type rules struct {
	types     map[string]struct{} // in lower case
	minLength int64               // bytes
}

// vary says whether the client's Accept-Encoding can make a difference to what is behind the same URL. A 304 mostly does
// not tell its type; it updates what a cache has stored, the Vary there included (RFC 9111, section 3.2).
func (r *rules) vary(status int, header http.Header) bool {
	if status < 200 {
		return false
	}
	contentType := header.Get("Content-Type")
	if contentType == "" {
		return status == http.StatusNotModified
	}
	contentType, _, _ = strings.Cut(contentType, ";")
	_, listed := r.types[strings.ToLower(textproto.TrimString(contentType))]
	return listed
}

// compressible says whether a response whose type is on the list may be compressed.
func (r *rules) compressible(status int, header http.Header) bool {
	switch status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent, http.StatusNotModified:
		return false
	}
	if length := contentLength(header); length != unknownLength && length < r.minLength {
		return false
	}
	if _, partial := header["Content-Range"]; partial {
		return false
	}
	return !encoded(header) && !pipeline.HasToken(header["Cache-Control"], "no-transform")
}

func contentLength(header http.Header) int64 {
	length, err := strconv.ParseUint(header.Get("Content-Length"), 10, 63)
	if err != nil {
		return unknownLength
	}
	return int64(length)
}

// encoded says whether there is a coding already. "identity" in Content-Encoding is wrong (RFC 9110, section 12.5.3),
// happens, and is none.
func encoded(header http.Header) bool {
	for _, value := range header["Content-Encoding"] {
		if value != "" && !strings.EqualFold(value, identity.String()) {
			return true
		}
	}
	return false
}

// addVary adds Accept-Encoding to what Vary lists.
func addVary(header http.Header) {
	if values := header["Vary"]; !pipeline.HasToken(values, "Accept-Encoding") && !pipeline.HasToken(values, "*") {
		header["Vary"] = append(values[:len(values):len(values)], "Accept-Encoding")
	}
}

// describe makes the header one of a compressed response.
func describe(header http.Header, c coding) {
	header.Set("Content-Encoding", c.String())
	for _, name := range [...]string{
		"Content-Length", "Accept-Ranges", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5",
	} {
		delete(header, name)
	}
	etag := header.Get("Etag")
	switch {
	case etag == "" || strings.HasPrefix(etag, "W/"):
	case etag[0] == '"':
		header.Set("Etag", "W/"+etag)
	default:
		// Not an entity tag: nobody can tell whether it is a strong one, and as such it would be wrong.
		header.Del("Etag")
	}
}

// matchWeakly gives a 304 the entity tag that the client asked with, where that is the weak form of the backend's: it
// is the one that a cache has stored the compressed response under (RFC 9111, section 4.3.4).
func matchWeakly(header http.Header, ifNoneMatch []string) {
	etag := header.Get("Etag")
	if etag == "" || etag[0] != '"' {
		return
	}
	etag = "W/" + etag
	for _, value := range ifNoneMatch {
		if strings.Contains(value, etag) {
			header.Set("Etag", etag)
			return
		}
	}
}

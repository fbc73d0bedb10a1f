package tickets

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"strings"
)

// origin begins what is ours among the things that a session carries, of which there may be others.
const origin = "tricot1:"

// bind gives what ties a session to a name and to the certificate that the name has now. It is false for a name that has
// none. Without a name there is nothing to choose by but the connection, of which a ticket knows nothing: such a session
// is tied to having no name.
func bind(name string, choose func(*tls.ClientHelloInfo) (*tls.Certificate, error)) ([]byte, bool) {
	var room [2048]byte // on the stack, for a name and a certificate as they usually are
	text := append(room[:0], strings.ToLower(name)...)
	if name != "" && choose != nil {
		cert, err := choose(&tls.ClientHelloInfo{ServerName: name})
		if err != nil || cert == nil || len(cert.Certificate) == 0 {
			return nil, false
		}
		text = append(text, 0) // which no name has
		text = append(text, cert.Certificate[0]...)
	}
	sum := sha256.Sum256(text)
	return append([]byte(origin), sum[:]...), true
}

// carries says whether a session is tied to just that.
func carries(session *tls.SessionState, bound []byte) bool {
	for _, extra := range session.Extra {
		if bytes.Equal(extra, bound) {
			return true
		}
	}
	return false
}

package compress

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
)

// A coding is a content coding of RFC 9110, section 8.4.1.
type coding uint8

// The codings that can be sent, in the order that decides between equal weights.
const (
	brotliCoding coding = iota
	zstdCoding
	gzipCoding
	identity

	// anyCoding is the "*" of Accept-Encoding: each coding that is not named.
	anyCoding
	codings
)

// String is the coding's name in Content-Encoding.
func (c coding) String() string {
	return [...]string{"br", "zstd", "gzip", "identity", "*"}[c]
}

// acceptedCoding is the coding that suits the client best. It is taken before any later stage can touch the request.
func acceptedCoding(r *http.Request) coding {
	fields := r.Header["Accept-Encoding"]
	if len(fields) == 0 || r.Method == http.MethodHead || r.Method == http.MethodConnect {
		return identity
	}
	if pipeline.HasToken(r.Header["Cache-Control"], "no-transform") {
		return identity
	}
	return negotiate(fields)
}

// negotiate gives the coding that the client weighs highest, from the values of its Accept-Encoding fields.
//
// RFC 9110, section 12.5.3, leaves some of it open. Here identity is sent where nothing else is acceptable, even if
// the client refuses that too, since some answer is better than none; and where the client weighs it above the rest. A
// coding that is named twice has the higher weight. A weight that is malformed counts as 0: whoever wrote it may
// not be able to decode what it stands at.
func negotiate(fields []string) coding {
	const unnamed = -1
	weights := [codings]int{unnamed, unnamed, unnamed, unnamed, unnamed}
	for _, field := range fields {
		for more := true; more; {
			var element string
			element, field, more = strings.Cut(field, ",")
			name, weight := parseElement(element)
			if c, ok := codingNamed(name); ok {
				weights[c] = max(weights[c], weight)
			}
		}
	}
	best, highest := identity, 0
	for c := brotliCoding; c < identity; c++ {
		weight := weights[c]
		if weight == unnamed {
			weight = weights[anyCoding]
		}
		if weight > highest {
			best, highest = c, weight
		}
	}
	if weights[identity] > highest {
		return identity
	}
	return best
}

func codingNamed(name string) (coding, bool) {
	switch {
	case strings.EqualFold(name, "br"):
		return brotliCoding, true
	case strings.EqualFold(name, "zstd"):
		return zstdCoding, true
	case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"): // section 8.4.1.3
		return gzipCoding, true
	case strings.EqualFold(name, "identity"):
		return identity, true
	case name == "*":
		return anyCoding, true
	}
	return identity, false
}

// parseElement takes "gzip;q=0.5" apart. The weight is in thousandths.
func parseElement(element string) (name string, weight int) {
	name, parameter, weighted := strings.Cut(element, ";")
	name = textproto.TrimString(name)
	if !weighted {
		return name, 1000
	}
	parameter = textproto.TrimString(parameter)
	if len(parameter) < 2 || parameter[0]|0x20 != 'q' || parameter[1] != '=' {
		return name, 0
	}
	return name, parseWeight(parameter[2:])
}

// parseWeight reads a qvalue, RFC 9110, section 12.4.2: 0 to 1 with at most three decimals. It gives thousandths.
func parseWeight(s string) int {
	if len(s) == 0 || len(s) > len("0.000") || s[0] != '0' && s[0] != '1' || len(s) > 1 && s[1] != '.' {
		return 0
	}
	weight := 0
	for i, unit := 0, 1000; i < len(s); i++ {
		if i == 1 {
			continue // the point
		}
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		weight += int(s[i]-'0') * unit
		unit /= 10
	}
	if weight > 1000 {
		return 0
	}
	return weight
}

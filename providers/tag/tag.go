// Package tag is the language of the tags with which a service asks for its routes:
//
//	tricot HOST[/PATH] [PRIORITY]
//	tricot-https HOST[/PATH] [PRIORITY]
//	tricot-h2c HOST[/PATH] [PRIORITY]
//	tricot-add-header NAME VALUE...
//	tricot-global-lb
//	tricot-site-lb
//	tricot-on-demand-tls-ask URL
//
// Every provider uses it, so that a service can move between them with its tags unchanged. [Parse] reads all tags of a
// service; each one that is malformed comes back as an [Error] and leaves the others in force.
//
// # Fields
//
// Fields are separated by one or more spaces (U+0020 and nothing else); spaces at the ends of a tag are ignored. The
// first field says what the tag is. Tags with a first field other than "tricot" and "tricot-..." are somebody else's:
// ignored without a word. An unknown "tricot-..." is an error. The first field is case-sensitive.
//
// # HOST
//
// HOST is an exact host or a pattern, and is kept in canonical form:
//
//   - lower case, without the dot at the end;
//   - internationalised names, in UTF-8, in their ASCII form (RFC 5891, mapped as for a look-up, UTS #46);
//   - an IPv6 address in brackets, in the form of RFC 5952, without zone; an IPv4 address is a name like any other;
//   - "*" stands for any run of characters, dots included: "*" alone, "*.example.com", "app-*.example.com".
//     Several "*" in a row mean the same as one and are kept as one. A label with a "*" has to be ASCII.
//
// A label has 1 to 63 characters, of letters, digits, "-" and "_", and "*" in a pattern; the whole has at most 253 (RFC
// 1035, section 2.3.4). There is no scheme and no port.
//
// # PATH
//
// PATH is everything from the first slash on: a literal prefix of the path as clients send it, undecoded. So "HOST/" has
// the prefix "/". It holds printable ASCII without space, "?" and "#", which is what well-behaved clients put into a path
// (they percent-encode the rest), and where a "%" is followed by further characters these are hexadecimal digits, two
// for each "%".
//
// # PRIORITY
//
// PRIORITY is a decimal integer with or without sign that fits 32 bits; [DefaultPriority] where it is left out.
//
// # NAME and VALUE
//
// NAME is a token (RFC 9110, section 5.6.2), kept in the canonical form of net/http. Names that frame the response or
// steer the connection are refused: Connection, Content-Length, HTTP2-Settings, Keep-Alive, Proxy-Connection, TE,
// Trailer, Transfer-Encoding, Upgrade.
//
// VALUE is the rest of the tag, byte for byte, without the spaces and tabs at its ends. It is not empty and has no
// control characters but tabs (RFC 9110, section 5.5).
//
// # URL
//
// URL is an absolute http or https URL of printable ASCII, without user, password and fragment (RFC 3986). It may have a
// query. A service has one: the tag may be there again only with the same one.
package tag

// DefaultPriority is that of a rule whose tag names none.
const DefaultPriority = 100

// A Rule is what one tricot, tricot-https or tricot-h2c tag says.
type Rule struct {
	// Host is in canonical form: lower case, ASCII, no dot at the end; "*" in it stands for any run of characters.
	Host string
	// Path is the literal prefix of the paths that the rule is for, from the slash on; empty for every path.
	Path     string
	Priority int
	Scheme   Scheme
}

// Scheme is what the backend of a rule speaks.
type Scheme int

const (
	HTTP  Scheme = iota // tricot
	HTTPS               // tricot-https
	H2C                 // tricot-h2c: HTTP/2 without TLS, by prior knowledge (RFC 9113, section 3.3)
)

// A Header is one tricot-add-header tag: Name in canonical form, Value without spaces and tabs at its ends.
type Header struct {
	Name, Value string
}

// Balance says over which backends a service's requests are spread.
type Balance int

// In order of reach.
const (
	Nearest Balance = iota // the same node, else the same site, else all
	Site                   // tricot-site-lb: the same site, else all
	Global                 // tricot-global-lb: all
)

// Config is what all tags of a service say together, rules and headers in the order of the tags.
type Config struct {
	Rules   []Rule
	Headers []Header
	Balance Balance
	// Ask is the URL that is asked whether a name of the service's wildcard rules may have a certificate: tricot-on-demand-tls-ask.
	// Empty: there is none.
	Ask string
}

// An Error says what is wrong with one tag: Tag as it was given, Reason in one sentence that says what was expected.
type Error struct {
	Tag    string
	Reason string
}

// Package tag is the language of the tags with which a service asks for its routes:
//
//	tricot HOST[/PATH] [PRIORITY]
//	tricot-https HOST[/PATH] [PRIORITY]
//	tricot-add-header NAME VALUE...
//	tricot-global-lb
//	tricot-site-lb
//
// Every provider uses it, so that a service can move between them with its tags unchanged.
package tag

// DefaultPriority is that of a rule whose tag names none.
const DefaultPriority = 100

// A Rule is what one tricot or tricot-https tag says.
type Rule struct {
	// Host is in canonical form: lower case, ASCII, no dot at the end; "*" in it stands for any run of characters.
	Host string
	// Path is the literal prefix of the paths that the rule is for, from the slash on; empty for every path.
	Path     string
	Priority int
	// HTTPS says that the backend speaks HTTPS.
	HTTPS bool
}

// A Header is one tricot-add-header tag: Name in canonical form, Value without spaces at its ends.
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

// Config is what all tags of a service say together.
type Config struct {
	Rules   []Rule
	Headers []Header
	Balance Balance
}

// An Error says what is wrong with one tag.
type Error struct {
	Tag    string
	Reason string
}

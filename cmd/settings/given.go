package settings

import (
	"fmt"
	"strings"
)

// given is a value as somebody wrote it, with the place where he did.
type given struct {
	text  string
	items []string // where it is a list
	list  bool
	from  source
}

func (g *given) empty() bool { return g.text == "" && len(g.items) == 0 }

func (g *given) String() string {
	if g.list {
		return strings.Join(g.items, ",")
	}
	return g.text
}

// masked stands for what is secret.
const masked = "***"

// display is a value of the setting as a message or a listing may show it.
func (s *setting) display(g *given) string {
	text := g.String()
	if s.secret && text != "" {
		return masked
	}
	if s.url {
		// What is before the "@" may be a password, whether or not the rest makes sense.
		if at := strings.LastIndexByte(text, '@'); at >= 0 {
			text = masked + text[at:]
		}
		if before, query, found := strings.Cut(text, "?"); found && query != "" {
			text = before + "?" + masked
		}
	}
	return text
}

// A source is a place where a value is given.
type source struct {
	place place
	name  string // of the file, variable or flag
	line  int    // in the file, 0 where it is about the whole
}

type place int

// In order of strength.
const (
	byDefault place = iota
	inFile
	inVariable
	inFlag
)

func (s source) String() string {
	switch s.place {
	case inFile:
		if s.line == 0 {
			return s.name
		}
		return fmt.Sprintf("%s:%d", s.name, s.line)
	case inVariable:
		return "variable " + s.name
	case inFlag:
		return "flag --" + s.name
	default:
		return "default"
	}
}

package file

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tricot-proxy/tricot/providers"
)

// An Error is one problem of a services file.
type Error struct {
	File string
	// Line counts from 1; 0 where the problem is not one line's.
	Line int
	// Reason says what was expected.
	Reason string
}

func (e *Error) Error() string { return e.Where() + ": " + e.Reason }

// Where is the file, and the line where there is one: "services.yaml:3".
func (e *Error) Where() string {
	if e.Line == 0 {
		return e.File
	}
	return fmt.Sprintf("%s:%d", e.File, e.Line)
}

// parse reads the content of a services file, with the name that its errors give it.
func parse(file string, content []byte) (providers.Snapshot, error) {
	p := parser{file: file}
	services := p.services(p.document(content))
	identify(&p, services)
	if len(p.problems) > 0 {
		return providers.Snapshot{}, p.err()
	}
	snapshot := providers.Snapshot{Instances: make([]providers.Instance, len(services))}
	for i, s := range services {
		snapshot.Instances[i] = s.Instance
	}
	return snapshot, nil
}

// parser walks the YAML nodes, which know their lines, and collects what is wrong with them.
type parser struct {
	file     string
	problems []*Error
}

func (p *parser) problem(line int, format string, args ...any) {
	p.problems = append(p.problems, &Error{File: p.file, Line: line, Reason: fmt.Sprintf(format, args...)})
}

func (p *parser) err() error {
	slices.SortStableFunc(p.problems, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(p.problems))
	for i, problem := range p.problems {
		errs[i] = problem
	}
	return errors.Join(errs...)
}

// document gives what the only YAML document of the file holds, nil where it holds nothing.
func (p *parser) document(content []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		p.problem(0, "expected the key services with a list of services, the file is empty")
		return nil
	case err != nil:
		p.syntax(err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		p.syntax(err)
		return nil
	default:
		p.problem(second.Line, "expected one YAML document, here begins another")
	}
	root := first.Content[0]
	if root.ShortTag() == nullTag {
		p.problem(0, "expected the key services with a list of services, the file is empty")
		return nil
	}
	return root
}

// syntax takes the line out of what the YAML parser says, which is "yaml: line 3: found ..." or "yaml: found ...".
func (p *parser) syntax(err error) {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if _, err := fmt.Sscanf(reason, "line %d:", &line); err == nil {
		_, reason, _ = strings.Cut(reason, ": ")
	}
	p.problem(line, "expected YAML: %s", reason)
}

// fields gives the values of a mapping that has known keys only, each once; nil where the node is no mapping. What
// names the node.
func (p *parser) fields(node *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	line := node.Line
	if node = resolve(node); node.Kind != yaml.MappingNode {
		p.problem(line, "expected %s, found %s", what, describe(node))
		return nil
	}
	fields := make(map[string]*yaml.Node, len(known))
	lines := make(map[string]int, len(known))
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := resolve(key)
		switch first := lines[name.Value]; {
		case name.Kind != yaml.ScalarNode || !slices.Contains(known, name.Value):
			p.problem(key.Line, "unknown key %s: expected one of %s", describe(name), strings.Join(known, ", "))
		case first > 0:
			p.problem(key.Line, "%s: expected once, it is on line %d already", name.Value, first)
		default:
			fields[name.Value], lines[name.Value] = value, key.Line
		}
	}
	return fields
}

// text gives a value that is a string. Nothing at all counts as an empty one.
func (p *parser) text(key string, node *yaml.Node) (string, bool) {
	if node == nil {
		return "", true
	}
	line := node.Line
	switch node = resolve(node); {
	case node.ShortTag() == nullTag:
		return "", true
	case node.Kind != yaml.ScalarNode:
		p.problem(line, "%s: expected text, found %s", key, describe(node))
		return "", false
	case node.ShortTag() != textTag:
		p.problem(line, "%s: expected text, found %s: put it in quotes", key, describe(node))
		return "", false
	}
	return node.Value, true
}

// list gives the elements of a list, none where there is nothing at all.
func (p *parser) list(key string, node *yaml.Node) []*yaml.Node {
	if node == nil {
		return nil
	}
	line := node.Line
	if node = resolve(node); node.Kind == yaml.SequenceNode {
		return node.Content
	}
	if node.ShortTag() != nullTag {
		p.problem(line, "%s: expected a list, found %s", key, describe(node))
	}
	return nil
}

// The types of YAML values that are asked for here, as [yaml.Node.ShortTag] names them.
const (
	nullTag = "!!null"
	textTag = "!!str"
	intTag  = "!!int"
)

// resolve gives what an alias stands for, and every other node as it is.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// describe says what a value is, for the second half of an "expected ..., found ...".
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tag := node.ShortTag(); tag {
	case nullTag:
		return "nothing"
	case textTag:
		return fmt.Sprintf("%q", node.Value)
	default:
		return fmt.Sprintf("%s (%s)", escape(node.Value), escape(tag))
	}
}

// escape keeps what a file holds from breaking the line of an error.
func escape(s string) string {
	return strings.Trim(strconv.Quote(s), `"`)
}

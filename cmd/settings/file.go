package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// longestFile is in bytes. It keeps a wrong path from being read for ever.
const longestFile = 1 << 20

// file is what a YAML file says.
type file struct {
	schema   *Schema
	name     string
	values   map[string]*given
	problems Problems
	read     bool // it is YAML, or there is none to read
}

// fromFile reads the file that is named by flag or variable, or else the default one where it exists.
func (s *Schema) fromFile(flags *pflag.FlagSet, env map[string]string, byDefault string) *file {
	f := &file{schema: s, name: byDefault, values: map[string]*given{}}
	var from source
	if flag := lookup(flags, configFlag); flag != "" {
		f.name, from = flag, source{place: inFlag, name: configFlag}
	} else if variable := env[configVariable]; variable != "" {
		f.name, from = variable, source{place: inVariable, name: configVariable}
	}
	content, err := readConfig(f.name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && from == source{}:
		f.read = true
	case err != nil:
		f.problems = append(f.problems, problem("config", f.name, from, err.Error()))
	default:
		f.parse(content)
	}
	return f
}

func lookup(flags *pflag.FlagSet, name string) string {
	if flags == nil || flags.Lookup(name) == nil {
		return ""
	}
	return flags.Lookup(name).Value.String()
}

// readConfig reads a file of any type: a pipe is what a shell makes of --config <(…).
func readConfig(name string) ([]byte, error) {
	opened, err := os.Open(name)
	if err != nil {
		return nil, unreadable(err)
	}
	defer opened.Close()
	content, err := io.ReadAll(io.LimitReader(opened, longestFile+1))
	switch {
	case err != nil:
		return nil, unreadable(err)
	case len(content) > longestFile:
		return nil, fmt.Errorf("the file is longer than %d bytes", longestFile)
	}
	return content, nil
}

// parse takes the settings out of YAML. It needs the lines, which Viper does not keep.
func (f *file) parse(content []byte) {
	first, second, err := documents(content)
	switch {
	case err != nil:
		f.syntax(content, err)
	case second != nil:
		f.refuse("", second.Line, "a second YAML document begins here; one is expected")
	case first == nil || isNull(first):
		f.read = true
	case first.Kind != yaml.MappingNode:
		f.refuse("", first.Line, "keys with values are expected, such as site: east")
	default:
		f.read = true
		f.mapping("", first)
	}
}

// documents gives the first two YAML documents, nil for one that is not there.
func documents(content []byte) (first, second *yaml.Node, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for _, root := range []**yaml.Node{&first, &second} {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return first, second, nil
		case err != nil:
			return first, second, err
		case len(document.Content) > 0:
			*root = resolve(document.Content[0])
		}
	}
	return first, second, nil
}

// syntax tells an error of the parser. The line that the parser names is often that before, or the one where a group
// begins; so the line is told with which the content turns wrong in the same way.
func (f *file) syntax(content []byte, err error) {
	reason := syntaxReason(err)
	ends := []int{}
	for end := range content {
		if content[end] == '\n' || end == len(content)-1 {
			ends = append(ends, end+1)
		}
	}
	line := 1 + sort.Search(len(ends)-1, func(i int) bool {
		_, _, err := documents(content[:ends[i]])
		return err != nil && syntaxReason(err) == reason
	})
	f.refuse("", line, "the file is not YAML: "+reason)
}

// syntaxReason is what the parser says, without its line.
func syntaxReason(err error) string {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, is := strings.CutPrefix(reason, "line "); is {
		_, reason, _ = strings.Cut(rest, ": ")
	}
	if strings.HasPrefix(reason, "unknown anchor") { // names it, and it may be a token that begins with "*"
		return "a value that begins with * must be in quotes"
	}
	return reason
}

// mapping takes the settings out of a group.
func (f *file) mapping(prefix string, node *yaml.Node) {
	lines := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], resolve(node.Content[i+1])
		key := strings.TrimPrefix(prefix+"."+name.Value, ".")
		if name.Kind != yaml.ScalarNode || name.ShortTag() == "!!merge" {
			f.refuse(prefix, name.Line, "a plain key is expected, such as site")
			continue
		}
		if first := lines[key]; first != 0 {
			f.refuse(key, name.Line, fmt.Sprintf("it is set in line %d already", first))
			continue
		}
		lines[key] = name.Line
		_, isGroup := f.schema.groups[key]
		setting := f.schema.byKey[key]
		if strings.Contains(name.Value, ".") { // http.bind_addr in one, which could be set twice over unseen
			setting, isGroup = nil, false
		}
		switch {
		case setting == nil && !isGroup:
			f.refuse(key, name.Line, f.unknown(prefix, name.Value))
		case isNull(value):
			// As if it were not there.
		case setting != nil:
			f.value(setting, value, name.Line)
		case value.Kind == yaml.MappingNode:
			f.mapping(key, value)
		default:
			f.refuse(key, name.Line, "settings below it are expected: "+strings.Join(f.names(key), ", "))
		}
	}
}

// value takes the value of a setting.
func (f *file) value(setting *setting, node *yaml.Node, line int) {
	value := &given{from: source{place: inFile, name: f.name, line: line}}
	expected := "one value is expected"
	if setting.kind.list {
		expected = "a list is expected"
	}
	switch {
	case isText(node):
		parsed := setting.kind.parse(node.Value)
		parsed.from = value.from
		value = parsed
	case node.Kind == yaml.SequenceNode && setting.kind.list:
		value.list = true
		for i, item := range node.Content {
			item := resolve(item)
			text := strings.TrimSpace(item.Value)
			if !isText(item) || text == "" {
				f.refuse(setting.key, item.Line, fmt.Sprintf("item %d of the list is not one value", i+1))
				return
			}
			value.items = append(value.items, text)
		}
	case node.Kind == yaml.SequenceNode:
		f.refuse(setting.key, line, expected+", not a list")
		return
	case node.Kind == yaml.MappingNode:
		f.refuse(setting.key, line, expected+", not keys with values")
		return
	default:
		f.refuse(setting.key, line, expected+", not one of type "+node.ShortTag())
		return
	}
	f.values[setting.key] = value
}

// unknown says what to do about a key that does not exist.
func (f *file) unknown(prefix, name string) string {
	const reason = "there is no such setting"
	if group, last, is := strings.Cut(name, "."); is && f.schema.byKey[strings.TrimPrefix(prefix+"."+name, ".")] != nil {
		return fmt.Sprintf("%s; write %q, and below it %q", reason, group+":", last+":")
	}
	if meant := similar(name, f.names(prefix)); meant != "" {
		return fmt.Sprintf("%s; did you mean %s?", reason, strings.TrimPrefix(prefix+"."+meant, "."))
	}
	for _, setting := range f.schema.settings {
		if strings.HasSuffix(setting.key, "."+name) {
			return fmt.Sprintf("%s; did you mean %s?", reason, setting.key)
		}
	}
	return reason
}

// names lists what may stand in a group.
func (f *file) names(prefix string) []string {
	var names []string
	for _, setting := range f.schema.settings {
		below, is := strings.CutPrefix("."+setting.key, strings.TrimSuffix("."+prefix, ".")+".")
		if name, _, _ := strings.Cut(below, "."); is && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (f *file) refuse(key string, line int, reason string) {
	f.problems = append(f.problems, problem(key, "", source{place: inFile, name: f.name, line: line}, reason))
}

// resolve follows an alias to its anchor.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// isText says whether a node is one value, whatever type YAML takes it for: site: 12 is the text "12".
func isText(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode &&
		slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}, node.ShortTag())
}

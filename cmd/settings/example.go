package settings

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

const exampleHead = `# Every setting of Tricot with its default: a file that sets just what is set anyway. Copy the lines to change.
#
# Where a key is set in several places the strongest counts: flag, environment, this file, default. The variable of a
# key is TRICOT_ and the key in capitals with "_" for ".", its flag is the key with "-" for "." and "_": http.bind_addr
# is TRICOT_HTTP_BIND_ADDR and --http-bind-addr. A list is separated by commas there, as it may be here.
#
# Without --config or TRICOT_CONFIG, ` + DefaultFile + ` is read where it exists. A key without a value counts as
# not set, and so does an empty variable. "tricot check" says what is wrong with the settings without starting.
`

// Example renders config.example.yaml: every setting with its description and its default.
func (s *Schema) Example() string {
	var b strings.Builder
	b.WriteString(exampleHead)
	var open []string // the groups that the last setting was in
	for _, setting := range s.settings {
		names := strings.Split(setting.key, ".")
		groups, name := names[:len(names)-1], names[len(names)-1]
		same := 0
		for same < len(open) && same < len(groups) && open[same] == groups[same] {
			same++
		}
		if same < len(groups) || len(groups) < len(open) || len(groups) == 0 {
			b.WriteByte('\n')
		}
		for ; same < len(groups); same++ {
			line(&b, same, s.groups[strings.Join(groups[:same+1], ".")])
			fmt.Fprintf(&b, "%s%s:\n", indent(same), groups[same])
		}
		open = groups
		line(&b, len(groups), setting.describe())
		fmt.Fprintf(&b, "%s%s:%s\n", indent(len(groups)), name, setting.inYAML(len(groups)))
	}
	return b.String()
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

// line writes a comment, where there is something to say.
func line(b *strings.Builder, depth int, comment string) {
	if comment != "" {
		fmt.Fprintf(b, "%s# %s\n", indent(depth), comment)
	}
}

// describe is the usage of a setting, with its default where that is not a plain value.
func (s *setting) describe() string {
	if s.otherwise == "" {
		return s.usage
	}
	return strings.TrimSpace(s.usage + " Default: " + s.otherwise + ".")
}

// inYAML is what follows the key of a setting: its default, on lines of its own where it is a list too long for one.
func (s *setting) inYAML(depth int) string {
	const longest = 100
	value := s.byDefault
	if !value.list {
		return " " + scalarInYAML(value.text, s.kind.name == "string")
	}
	items := make([]string, len(value.items))
	for i, item := range value.items {
		items[i] = scalarInYAML(item, true)
	}
	if flow := strings.Join(items, ", "); len(flow) <= longest {
		return " [" + flow + "]"
	}
	between := "\n" + indent(depth+1) + "- "
	return between + strings.Join(items, between)
}

// scalarInYAML quotes what YAML would read as something else than the text.
func scalarInYAML(text string, isText bool) string {
	if text == "" {
		return `""`
	}
	if !isText {
		return text
	}
	marshalled, err := yaml.Marshal(text)
	if err != nil || strings.ContainsAny(text, ",[]{}\n") {
		return fmt.Sprintf("%q", text)
	}
	return strings.TrimSpace(string(marshalled))
}

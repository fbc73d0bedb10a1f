package settings

import (
	"fmt"
	"strings"
)

// An Entry describes a setting, and what it is at the moment.
type Entry struct {
	Key   string
	Usage string // one line
	Kind  string // string, bool, int, uint, float, duration, level or list
	// Default is as a user would write it, the items of a list with commas; empty for nothing. Otherwise says in words
	// what the default is where it depends on something else; Default is then empty.
	Default, Otherwise string
	// Variables and Flags are the names of the setting, the strongest first, flags without "--".
	Variables, Flags []string
	Secret           bool

	// Value and Source are what is in force, and empty in [Schema.Entries]. The Value of a secret is "***", unless it is
	// empty.
	Value, Source string
}

// Entries describes every setting, in the order of config.example.yaml.
func (s *Schema) Entries() []Entry {
	entries := make([]Entry, len(s.settings))
	for i, setting := range s.settings {
		entries[i] = Entry{
			Key: setting.key, Usage: setting.usage, Kind: setting.kind.name,
			Default: setting.display(setting.byDefault), Otherwise: setting.otherwise,
			Variables: setting.env, Flags: setting.flags, Secret: setting.secret,
		}
	}
	return entries
}

// All lists every setting with the value in force and its source. A value that has a problem is listed as it was given.
func (s *Settings) All() []Entry {
	entries := s.schema.Entries()
	for i, setting := range s.schema.settings {
		value := s.inForce[setting.key]
		entries[i].Value, entries[i].Source = setting.display(value), value.from.String()
	}
	return entries
}

// Source says where the value of a key is from: "tricot.yaml:12", "variable TRICOT_SITE", "flag --site" or "default". It
// is empty for a key that does not exist.
func (s *Settings) Source(key string) string {
	value := s.inForce[key]
	if value == nil {
		return ""
	}
	return value.from.String()
}

// Warnings are what is odd without being wrong: variables that start with TRICOT_ and set nothing, as clusters put them
// into the environment. Their values are left out.
func (s *Settings) Warnings() []Problem { return s.warnings }

// Enabled says whether middleware.STAGE.enabled is true, for built-in and custom stages. It is false for a stage that
// does not exist.
func (s *Settings) Enabled(stage string) bool {
	setting := s.schema.byKey["middleware."+stage+".enabled"]
	return setting != nil && setting.field(s).Bool()
}

// Stages are the stages of the pipeline in their order: pipeline.order without those that are not enabled.
func (s *Settings) Stages() []string {
	var stages []string
	for _, stage := range s.Pipeline.Order {
		if s.Enabled(stage) {
			stages = append(stages, stage)
		}
	}
	return stages
}

// Reference is a table in Markdown of every setting with its default and its description, as the README has it.
func (s *Schema) Reference() string {
	var b strings.Builder
	b.WriteString("| key | default | |\n| --- | --- | --- |\n")
	for _, entry := range s.Entries() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", entry.reference(), entry.standard(), cell(entry.Usage))
	}
	return b.String()
}

// reference names the setting, with the names that are not derived from its key.
func (e Entry) reference() string {
	name := code(e.Key)
	var also []string
	for _, variable := range e.Variables[1:] {
		also = append(also, code(variable))
	}
	for _, flag := range e.Flags[1:] {
		also = append(also, code("--"+flag))
	}
	if also != nil {
		name += " (also " + strings.Join(also, ", ") + ")"
	}
	return name
}

func (e Entry) standard() string {
	switch {
	case e.Otherwise != "":
		return cell(e.Otherwise)
	case e.Default == "":
		return "none"
	}
	return code(e.Default)
}

func code(text string) string { return "`" + cell(text) + "`" }

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

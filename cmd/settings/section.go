package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A Section is the settings of a custom stage.
type Section struct {
	// Stage is the stage's name: lower case, words joined by "_".
	Stage string
	// After names the stage behind which this one goes where pipeline.order is not set: a built-in stage, or that of a
	// Section before this one. Empty: the stage is first.
	After string
	// About is one line on the stage, for listings.
	About string
	// Into points to a struct whose exported fields become the settings middleware.STAGE.FIELD, with the values in it
	// as their defaults; nil where there is nothing to set. [Schema.Load] writes to it.
	//
	// A field is a string, a bool, an integer, a float, a [time.Duration], a []string or a struct of such fields. Its
	// key is its name in snake case; the tags key, usage, is, env, flag and secret work as in [Settings], and key:"-"
	// leaves a field out. The key enabled is taken: every stage has it, and it is true by default.
	Into any
}

// stageSwitch is what every custom stage has.
type stageSwitch struct {
	Enabled bool `key:"enabled" default:"true" usage:"Whether the stage STAGE is part of the pipeline."`
}

// isName says whether a stage or a field can be called so.
func isName(name string) bool {
	return name != "" && name[0] >= 'a' && name[0] <= 'z' && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_'
	})
}

// add makes the settings of a custom stage part of the schema.
func (s *Schema) add(section Section) error {
	name := section.Stage
	if !isName(name) {
		return fmt.Errorf("stage %q: a stage's name is lower-case letters, digits and _, a letter first", name)
	}
	if slices.Contains(s.order, name) {
		return fmt.Errorf("stage %s: there is one of this name already", name)
	}
	at := 0
	if section.After != "" {
		if at = slices.Index(s.order, section.After) + 1; at == 0 {
			return fmt.Errorf("stage %s: goes after %q, and there is no such stage", name, section.After)
		}
	}
	s.order = slices.Insert(s.order, at, name)

	prefix := "middleware." + name
	s.groups[prefix] = section.About
	root := func(in *Settings) reflect.Value { return reflect.ValueOf(in.switches[name]).Elem() }
	if err := s.walk(prefix, reflect.ValueOf(stageSwitch{}), true, nil, root); err != nil {
		return fmt.Errorf("stage %s: %w", name, err)
	}
	s.stages = append(s.stages, name)
	if section.Into == nil {
		return nil
	}
	into := reflect.ValueOf(section.Into)
	if into.Kind() != reflect.Pointer || into.IsNil() || into.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("stage %s: settings are decoded into a pointer to a struct, not into %T", name, section.Into)
	}
	root = func(*Settings) reflect.Value { return into.Elem() }
	if err := s.walk(prefix, into.Elem(), false, nil, root); err != nil {
		return fmt.Errorf("stage %s: %w", name, err)
	}
	return nil
}

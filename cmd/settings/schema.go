package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// A Schema knows every setting of one program: Tricot's own, and those of its custom stages. It is not changed after
// [New], but a Load writes to the structs of the sections: two at once need schemas with structs of their own.
type Schema struct {
	settings []*setting
	byKey    map[string]*setting
	groups   map[string]string // one line on each group of settings, by its key
	order    []string          // all stages, in the order that is the default
	stages   []string          // the custom ones
}

// A setting is what the tags of one field say.
type setting struct {
	key       string
	usage     string
	kind      *kind
	byDefault *given
	otherwise string
	is        []constraint
	env       []string // strongest first
	flags     []string // strongest first
	secret    bool
	url       bool // and may so hold a password
	field     func(*Settings) reflect.Value
}

// New makes the schema of Tricot's own settings and those of custom stages. The error says what is wrong with a
// section: that is a mistake in a program, and not one of its user.
func New(sections ...Section) (*Schema, error) {
	s := &Schema{byKey: map[string]*setting{}, groups: map[string]string{}}
	root := func(in *Settings) reflect.Value { return reflect.ValueOf(in).Elem() }
	if err := s.walk("", reflect.ValueOf(Settings{}), true, nil, root); err != nil {
		return nil, err
	}
	order := s.byKey["pipeline.order"]
	s.order = slices.Clone(order.byDefault.items)
	for _, section := range sections {
		if err := s.add(section); err != nil {
			return nil, err
		}
	}
	order.byDefault = &given{items: s.order, list: true}
	return s, s.checkNames()
}

// walk makes a setting of each field of a struct. Where tagged is true defaults are in the tags and a field without a
// key is no setting; otherwise the struct is a custom stage's, with its defaults in it.
func (s *Schema) walk(prefix string, in reflect.Value, tagged bool, path []int, root func(*Settings) reflect.Value) error {
	for i := range in.NumField() {
		field := in.Type().Field(i)
		name, hasKey := field.Tag.Lookup("key")
		if !field.IsExported() || name == "-" || tagged && !hasKey {
			continue
		}
		if !hasKey {
			name = snake(field.Name)
		}
		if !isName(name) {
			return fmt.Errorf("field %s: %q is no key: lower-case letters, digits and _, a letter first", field.Name, name)
		}
		key := strings.TrimPrefix(prefix+"."+name, ".")
		path := append(slices.Clone(path), i)

		kind := kindOf(field.Type)
		before := len(s.settings)
		switch {
		case kind != nil && (tagged || kind.give != nil):
			add := &setting{key: key, kind: kind, field: func(in *Settings) reflect.Value { return root(in).FieldByIndex(path) }}
			if err := add.read(field.Tag); err != nil {
				return fmt.Errorf("field %s: %w", field.Name, err)
			}
			if !tagged {
				add.byDefault = kind.give(in.Field(i))
			} else if !kind.measured() {
				add.is = append(add.is, each(oneLine))
			}
			if s.byKey[key] != nil {
				return fmt.Errorf("field %s: there is a setting %s already", field.Name, key)
			}
			s.settings = append(s.settings, add)
			s.byKey[key] = add
		case kind == nil && field.Type.Kind() == reflect.Struct:
			s.groups[key] = field.Tag.Get("about")
			if err := s.walk(key, in.Field(i), tagged, path, root); err != nil {
				return fmt.Errorf("field %s: %w", field.Name, err)
			}
		}
		if len(s.settings) == before {
			return fmt.Errorf("field %s: no setting can be a %s: use a string, bool, integer, float, time.Duration, []string "+
				`or a struct of them, or leave the field out with the tag key:"-"`, field.Name, field.Type)
		}
	}
	return nil
}

// read takes over the tags of a field.
func (s *setting) read(tag reflect.StructTag) (err error) {
	names := strings.Split(s.key, ".")
	s.usage = strings.ReplaceAll(tag.Get("usage"), "STAGE", names[max(0, len(names)-2)])
	s.otherwise, s.secret = tag.Get("otherwise"), tag.Get("secret") == "true"
	s.byDefault = s.kind.parse(tag.Get("default"))
	s.env = append([]string{"TRICOT_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))}, words(tag.Get("env"))...)
	s.flags = append([]string{strings.NewReplacer(".", "-", "_", "-").Replace(s.key)}, words(tag.Get("flag"))...)
	s.url = slices.ContainsFunc(words(tag.Get("is")), func(name string) bool { return strings.HasSuffix(name, "url") })
	s.is, err = constraints(tag.Get("is"), s.kind)
	return err
}

// checkNames refuses two settings that share a name: middleware.a.b_c and middleware.a_b.c have the same flag.
func (s *Schema) checkNames() error {
	taken := map[string]string{
		"--" + configFlag: configFlag, configVariable: configFlag, "--help": "help", "--version": "version",
	}
	for _, setting := range s.settings {
		names := slices.Clone(setting.env)
		for _, flag := range setting.flags {
			names = append(names, "--"+flag)
		}
		for _, name := range names {
			if other, is := taken[name]; is {
				return fmt.Errorf("the settings %s and %s share the name %s", other, setting.key, name)
			}
			taken[name] = setting.key
		}
	}
	return nil
}

// snake gives the snake case of a field's name: "MaxIDLength" is "max_id_length".
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, c := range runes {
		if unicode.IsUpper(c) && i > 0 &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) && runes[i-1] != '_' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// words splits what is separated by commas, without the spaces around it and without what is empty.
func words(s string) []string {
	var found []string
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			found = append(found, word)
		}
	}
	return found
}

package settings

import (
	"maps"
	"slices"
	"strings"
)

// environment takes apart what os.Environ gives. Variables that are empty are not set.
func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, variable := range environ {
		if name, value, _ := strings.Cut(variable, "="); value != "" {
			env[name] = value
		}
	}
	return env
}

func (s *Schema) fromEnvironment(env map[string]string) map[string]*given {
	layer := map[string]*given{}
	for _, setting := range s.settings {
		for _, name := range setting.env {
			if text, is := env[name]; is {
				value := setting.kind.parse(text)
				value.from = source{place: inVariable, name: name}
				layer[setting.key] = value
				break
			}
		}
	}
	return layer
}

// unknownVariables finds variables that look like Tricot's and are not: Nomad and Kubernetes put such ones into the
// environment, so that they are no error.
func (s *Schema) unknownVariables(env map[string]string) Problems {
	known := []string{configVariable}
	for _, setting := range s.settings {
		known = append(known, setting.env...)
	}
	var odd Problems
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !strings.HasPrefix(name, "TRICOT_") || slices.Contains(known, name) {
			continue
		}
		reason := "no setting has this variable"
		if meant := similar(name, known); meant != "" {
			reason += "; did you mean " + meant + "?"
		}
		odd = append(odd, problem("", "", source{place: inVariable, name: name}, reason))
	}
	return odd
}

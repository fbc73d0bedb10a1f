package settings

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// DefaultFile is read where no other file is named, and it exists.
const DefaultFile = "/etc/tricot/tricot.yaml"

// Load reads flags (nil for none), the environment as [os.Environ] gives it, and the file that one of them names.
//
// The error is a [Problems] with all that is wrong. The settings are never nil; where there is an error they are not fit
// to run with, but Source, All and Warnings tell what was read.
func (s *Schema) Load(fs *pflag.FlagSet, environ []string) (*Settings, error) {
	return s.load(fs, environment(environ), machine{file: DefaultFile, uid: os.Geteuid()})
}

// machine is what defaults depend on.
type machine struct {
	file string // as DefaultFile
	uid  int
}

func (s *Schema) load(fs *pflag.FlagSet, env map[string]string, on machine) (*Settings, error) {
	return s.apply(s.fromFile(fs, env, on.file), env, s.fromFlags(fs), on.uid)
}

// apply makes settings of what file, environment and flags give.
func (s *Schema) apply(file *file, env map[string]string, flags map[string]*given, uid int) (*Settings, error) {
	settings := &Settings{schema: s, inForce: map[string]*given{}, switches: map[string]*stageSwitch{}}
	for _, stage := range s.stages {
		settings.switches[stage] = &stageSwitch{}
	}

	// Viper decides which value of a key is in force. Each value carries its source through it.
	v := viper.New()
	for _, setting := range s.settings {
		v.SetDefault(setting.key, setting.byDefault)
	}
	if level, ok := rustLog(env["RUST_LOG"]); ok {
		v.SetDefault("log.level", &given{text: level, from: source{place: inVariable, name: "RUST_LOG"}})
	}
	for _, layer := range []map[string]*given{file.values, s.fromEnvironment(env)} {
		if err := v.MergeConfigMap(nested(layer)); err != nil {
			return settings, fmt.Errorf("put settings together: %w", err)
		}
	}
	for key, value := range flags {
		v.Set(key, value)
	}

	c := &check{Settings: settings, wrong: map[string]bool{}}
	c.take(file.problems)
	for _, setting := range s.settings {
		value := v.Get(setting.key).(*given)
		settings.inForce[setting.key] = value
		c.decode(setting, value)
	}
	settings.warnings = s.unknownVariables(env)
	// Without the file nobody knows what the settings are to be: what is said of them now would be wrong.
	if file.read {
		settings.compute(env, uid)
		c.together()
	}
	if c.problems == nil {
		return settings, nil
	}
	c.problems.Sort()
	return settings, c.problems
}

// nested makes the tree of maps that Viper expects.
func nested(layer map[string]*given) map[string]any {
	tree := map[string]any{}
	for key, value := range layer {
		at, names := tree, strings.Split(key, ".")
		for _, name := range names[:len(names)-1] {
			below, is := at[name].(map[string]any)
			if !is {
				below = map[string]any{}
				at[name] = below
			}
			at = below
		}
		at[names[len(names)-1]] = value
	}
	return tree
}

func (s *Schema) fromFlags(fs *pflag.FlagSet) map[string]*given {
	layer := map[string]*given{}
	if fs == nil {
		return layer
	}
	for _, setting := range s.settings {
		for _, name := range setting.flags {
			if flag := fs.Lookup(name); flag != nil && flag.Changed {
				value := setting.kind.parse(flag.Value.String())
				value.from = source{place: inFlag, name: name}
				layer[setting.key] = value
				break
			}
		}
	}
	return layer
}

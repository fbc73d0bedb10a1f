package settings

import (
	"strings"

	"github.com/spf13/pflag"
)

// The names of the one thing that says where the settings are, and so is no setting itself.
const (
	configFlag     = "config"
	configVariable = "TRICOT_CONFIG"
)

// Flags adds the flag of every setting, and --config (-c), to a set. Their values are not looked at before
// [Schema.Load], so that what is wrong with them is told together with the rest. The flag of a list takes commas, and may
// be given several times.
func (s *Schema) Flags(fs *pflag.FlagSet) {
	fs.StringP(configFlag, "c", "",
		"The YAML file with settings (variable "+configVariable+"; default "+DefaultFile+" where it exists).")
	for _, setting := range s.settings {
		for i, name := range setting.flags {
			flag := fs.VarPF(&flagValue{kind: setting.kind, text: setting.display(setting.byDefault)}, name, "", setting.help())
			if setting.kind.name == "bool" {
				flag.NoOptDefVal = "true"
			}
			flag.Hidden = i > 0
		}
	}
}

// help is the usage of a setting with what else there is to know about it.
func (s *setting) help() string {
	text := s.describe()
	if len(s.flags) > 1 {
		text += " Also --" + strings.Join(s.flags[1:], ", --") + "."
	}
	return text
}

// flagValue keeps what was given as it was written.
type flagValue struct {
	kind  *kind
	text  string
	given bool
}

func (f *flagValue) String() string { return f.text }

func (f *flagValue) Type() string { return f.kind.name }

func (f *flagValue) Set(text string) error {
	if f.given && f.kind.list {
		text = f.text + "," + text
	}
	f.text, f.given = text, true
	return nil
}

package settings

import (
	"path/filepath"
	"slices"
)

// compute fills in the defaults that depend on other settings and on the machine, and makes certs.dir absolute.
func (s *Settings) compute(env map[string]string, uid int) {
	if s.Certs.Store == "" {
		s.Certs.Store = "dir"
		if slices.Contains(s.Providers, "consul") {
			s.Certs.Store = "consul"
		}
		s.fill("certs.store", s.Certs.Store)
	}
	if s.Certs.Dir == "" {
		s.Certs.Dir = stateDir(env, uid)
		s.fill("certs.dir", s.Certs.Dir)
	} else if dir, err := filepath.Abs(s.Certs.Dir); err == nil { // otherwise what uses it says why
		s.Certs.Dir = dir
	}
}

// fill puts a computed value where listings find it.
func (s *Settings) fill(key, value string) {
	s.inForce[key] = &given{text: value, from: s.inForce[key].from, computed: true}
}

// stateDir is where a program keeps its state: for root below /var/lib, otherwise as the XDG Base Directory
// Specification says, by which a variable that is no absolute path counts as not set. It is empty where nobody says.
func stateDir(env map[string]string, uid int) string {
	switch {
	case uid == 0:
		return "/var/lib/tricot"
	case filepath.IsAbs(env["XDG_DATA_HOME"]):
		return filepath.Join(env["XDG_DATA_HOME"], "tricot")
	case filepath.IsAbs(env["HOME"]):
		return filepath.Join(env["HOME"], ".local/share/tricot")
	}
	return ""
}

package settings

import (
	"path/filepath"
	"slices"
)

// notKept is what consul.snapshot_path is where there is to be no snapshot.
const notKept = "none"

// compute fills in the defaults that depend on other settings and on the machine, and makes paths absolute.
func (s *Settings) compute(env map[string]string, uid int) {
	if s.Certs.Store == "" {
		s.Certs.Store = "dir"
		if slices.Contains(s.Providers, "consul") {
			s.Certs.Store = "consul"
		}
		s.fill("certs.store", s.Certs.Store)
	}
	if s.Middleware.AccessLog.Format == "" {
		s.Middleware.AccessLog.Format = s.Log.Format
		s.fill("middleware.access_log.format", s.Log.Format)
	}
	state, snapshot := stateDir(env, uid), ""
	if state != "" {
		snapshot = filepath.Join(state, "consul-snapshot.json")
	}
	s.locate("certs.dir", &s.Certs.Dir, state)
	if s.Consul.SnapshotPath == notKept {
		s.Consul.SnapshotPath = ""
	} else {
		s.locate("consul.snapshot_path", &s.Consul.SnapshotPath, snapshot)
	}
}

// locate makes a path absolute, and gives one that is not set its default.
func (s *Settings) locate(key string, path *string, byDefault string) {
	if *path == "" {
		*path = byDefault
		s.fill(key, byDefault)
	} else if absolute, err := filepath.Abs(*path); err == nil { // otherwise what uses it says why
		*path = absolute
	}
}

// fill puts a computed value where listings find it.
func (s *Settings) fill(key, value string) {
	s.inForce[key] = &given{text: value, from: s.inForce[key].from}
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

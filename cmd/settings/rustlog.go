package settings

import "strings"

// rustLog finds the level for Tricot in the value of RUST_LOG, in the syntax of Rust's env_logger:
//
//	[MODULE|LEVEL|MODULE=LEVEL],... [/FILTER]
//
// The last MODULE that is tricot counts, without a LEVEL as trace; where there is none, the last LEVEL on its own.
// Other modules, what is malformed and the filter are left out of account. The level "off" becomes error, the quietest
// that there is. It is false where nothing is said on Tricot.
func rustLog(value string) (level string, ok bool) {
	directives, _, _ := strings.Cut(value, "/")
	var everywhere, tricot string
	for directive := range strings.SplitSeq(directives, ",") {
		module, named, hasLevel := strings.Cut(strings.TrimSpace(directive), "=")
		module, named = strings.TrimSpace(module), strings.TrimSpace(named)
		switch {
		case !hasLevel && rustLevel(module) != "":
			everywhere = rustLevel(module)
		case module == "tricot" && named == "":
			tricot = "trace"
		case module == "tricot" && rustLevel(named) != "":
			tricot = rustLevel(named)
		}
	}
	if tricot != "" {
		return tricot, true
	}
	return everywhere, everywhere != ""
}

// rustLevel gives the level of Tricot that is nearest to a level of Rust's, empty where it is none.
func rustLevel(name string) string {
	switch name = strings.ToLower(name); name {
	case "off", "error":
		return "error"
	case "warn", "info", "debug", "trace":
		return name
	}
	return ""
}

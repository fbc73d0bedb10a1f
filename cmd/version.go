package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is a line on what this binary is.
func version() string {
	return fmt.Sprintf("tricot %s %s %s/%s", release(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// release says what this binary was built from: the module's version, or the commit as the Go tool stamped it.
func release() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
